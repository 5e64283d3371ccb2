//! One course: a limit, and who runs into it.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use fake_registry::Limiter;
use fake_registry::Upstream;
use fake_registry::When;
use tidegate::ledger::Connection;
use tidegate::ledger::FlowId;
use tidegate::ledger::Ledger;
use tidegate::ledger::Leg;
use tidegate::ledger::Receipt;
use tidegate::ledger::Sink;
use tidegate::ledger::Window;
use tidegate::oci::media::OCI_MANIFEST;
use tidegate::registry;
use tidegate::registry::Config;
use tidegate::registry::Credentials;
use tidegate::registry::Priority;
use tidegate::registry::Registry;
use tokio::task::JoinSet;

/// A limit, how it changes, and how long it is run into.
#[derive(Clone, Debug)]
pub(super) struct Course {
    pub(super) kind: Kind,
    /// In seconds.
    pub(super) retry_after: Option<u64>,
    /// How long answers take.
    pub(super) delay: Duration,
    pub(super) length: Duration,
    /// When the limit becomes so many times what it is.
    pub(super) changes: Vec<(Duration, f64)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Rate { per_second: f64, burst: f64 },
    AtOnce(usize),
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) let_in: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
    /// The share of the limit that was used, from the start and after ten seconds.
    pub(super) used: f64,
    pub(super) used_later: f64,
    /// How long after each change the new limit was used again.
    pub(super) found: Vec<Option<Duration>>,
    pub(super) samples: Vec<Sample>,
    pub(super) windows: Vec<(f64, Window)>,
}

/// A tenth of a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) let_in: u64,
    pub(super) refused: u64,
    /// What would have been let in.
    pub(super) allowed: f64,
}

const REQUESTERS: usize = 64;
pub(super) const SAMPLE: Duration = Duration::from_millis(100);

impl Kind {
    pub(super) fn title(self) -> String {
        match self {
            Self::Rate { per_second, burst } => format!("{per_second} a second, {burst} at once"),
            Self::AtOnce(most) => format!("{most} at once"),
        }
    }

    fn limiter(self) -> Limiter {
        match self {
            Self::Rate { per_second, burst } => Limiter::rate(per_second, burst),
            Self::AtOnce(most) => Limiter::at_once(most),
        }
    }

    /// Requests a second.
    fn allows(self, delay: Duration) -> f64 {
        match self {
            Self::Rate { per_second, .. } => per_second,
            Self::AtOnce(most) => most as f64 / delay.as_secs_f64(),
        }
    }
}

/// Remembers how windows changed, and how long answers took.
#[derive(Debug, Default)]
struct Windows(Mutex<Vec<(Instant, Window)>>, Mutex<(Duration, u32)>);

impl Windows {
    /// How long an answer took, on average.
    fn round_trip(&self) -> Duration {
        let (all, count) = *self.1.lock().unwrap_or_else(PoisonError::into_inner);
        all / count.max(1)
    }
}

impl Sink for Windows {
    fn exchange(&self, receipt: &Receipt) {
        if receipt.status == 200 {
            let mut sum = self.1.lock().unwrap_or_else(PoisonError::into_inner);
            sum.0 += receipt.duration;
            sum.1 += 1;
        }
    }

    fn connection(&self, _: &Connection) {}

    fn window(&self, window: &Window) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((Instant::now(), window.clone()));
    }
}

impl Course {
    pub(super) fn title(&self) -> String {
        let changes = if self.changes.is_empty() {
            ""
        } else {
            ", halved and doubled"
        };
        format!(
            "{}, answers after {:?}, Retry-After {:?}{changes}",
            self.kind.title(),
            self.delay,
            self.retry_after
        )
    }

    pub(super) async fn run(&self) -> anyhow::Result<Outcome> {
        let upstream = Upstream::start().await;
        upstream.put_manifest("team/app", "latest", OCI_MANIFEST, "{}");
        let mut limiter = self.kind.limiter().delay(self.delay);
        if let Some(seconds) = self.retry_after {
            limiter = limiter.retry_after(seconds);
        }
        upstream.limit(When::any(), &limiter);
        let windows = Arc::new(Windows::default());
        let ledger = Ledger::with(vec![windows.clone()]);
        let registry = Registry::new(config(&upstream.url())?, ledger)?;
        let registry = Arc::new(registry.at_pace(Priority::Background));
        let (stop, failed) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let start = Instant::now();
        let mut requesters = JoinSet::new();
        for _ in 0..REQUESTERS {
            requesters.spawn(request(registry.clone(), stop.clone(), failed.clone()));
        }
        let mut samples = self.samples(&limiter, &upstream, start).await;
        // Answers take as long as the delay, and what the machine adds.
        let allowed = self.kind.allows(windows.round_trip()) / self.kind.allows(self.delay);
        for sample in &mut samples {
            sample.allowed *= allowed;
        }
        stop.store(true, Ordering::Relaxed);
        requesters.abort_all();
        let seen = windows.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.iter().map(|(at, window)| {
            let at = at.saturating_duration_since(start).as_secs_f64();
            (at, window.clone())
        });
        Ok(Outcome {
            let_in: limiter.let_in(),
            refused: limiter.refused(),
            failed: failed.load(Ordering::Relaxed),
            used: used(&samples),
            used_later: used(samples.get(100..).unwrap_or_default()),
            found: self
                .changes
                .iter()
                .map(|it| found(&samples, it.0))
                .collect(),
            windows: seen.collect(),
            samples,
        })
    }

    async fn samples(&self, limiter: &Limiter, upstream: &Upstream, start: Instant) -> Vec<Sample> {
        let mut samples = Vec::new();
        let mut changes = self.changes.iter().peekable();
        let mut scale = 1.0;
        let (mut let_in, mut refused) = (0, 0);
        let mut ticks = tokio::time::interval(SAMPLE);
        ticks.tick().await;
        let mut last = start;
        while start.elapsed() < self.length {
            ticks.tick().await;
            let now = Instant::now();
            samples.push(Sample {
                let_in: limiter.let_in() - let_in,
                refused: limiter.refused() - refused,
                allowed: self.kind.allows(self.delay) * scale * (now - last).as_secs_f64(),
            });
            (let_in, refused, last) = (limiter.let_in(), limiter.refused(), now);
            if let Some((_, by)) = changes.next_if(|it| start.elapsed() >= it.0) {
                limiter.scale(*by);
                scale *= by;
            }
            drop(upstream.take_ended());
        }
        samples
    }
}

async fn request(registry: Arc<Registry>, stop: Arc<AtomicBool>, failed: Arc<AtomicU64>) {
    let Ok(name) = "team/app".parse() else { return };
    let Ok(tag) = "latest".parse() else { return };
    while !stop.load(Ordering::Relaxed) {
        let got = registry.manifest_head(FlowId::next(), &name, &tag, OCI_MANIFEST);
        if let Err(error) = got.await {
            failed.fetch_add(1, Ordering::Relaxed);
            eprintln!("failed: {error}");
            tokio::time::sleep(SAMPLE).await;
        }
    }
}

fn used(samples: &[Sample]) -> f64 {
    let let_in: u64 = samples.iter().map(|it| it.let_in).sum();
    let allowed: f64 = samples.iter().map(|it| it.allowed).sum();
    let_in as f64 / allowed.max(1.0)
}

/// How long after `change` two seconds begin in which 85 % of the limit are used, and no more than
/// 3 % of the requests are refused.
fn found(samples: &[Sample], change: Duration) -> Option<Duration> {
    let tenth = SAMPLE.as_millis();
    let first = usize::try_from(change.as_millis() / tenth).ok()? + 1;
    let windows = samples.get(first..)?.windows(20);
    let is_well = |window: &[Sample]| {
        let refused: u64 = window.iter().map(|it| it.refused).sum();
        let let_in: u64 = window.iter().map(|it| it.let_in).sum();
        used(window) >= 0.85 && refused as f64 <= 0.03 * (refused + let_in) as f64
    };
    let mut windows = windows.enumerate();
    let found = windows.find(|(_, window)| is_well(window))?.0;
    Some(SAMPLE * u32::try_from(found).ok()?)
}

impl Outcome {
    /// What happened each second.
    pub(super) fn seconds(&self) -> String {
        let mut page = String::new();
        for (second, samples) in self.samples.chunks(10).enumerate() {
            let let_in: u64 = samples.iter().map(|it| it.let_in).sum();
            let refused: u64 = samples.iter().map(|it| it.refused).sum();
            let now = self
                .windows
                .iter()
                .take_while(|it| it.0 < second as f64 + 1.0);
            let now = now.last().map(|it| (it.1.size, it.1.rate, it.1.decreases));
            page += &format!("{second:4} {let_in:5} {refused:4} {now:?}\n");
        }
        page
    }
}

fn config(url: &str) -> anyhow::Result<Config> {
    let patience = Duration::from_secs(10);
    Ok(Config {
        name: "registry.test".parse()?,
        url: url.parse()?,
        leg: Leg::Upstream,
        fallback: Vec::new(),
        credentials: Credentials::Anonymous,
        ca: None,
        plain_http: true,
        allow_private: false,
        max_concurrent: None,
        parallel_ranges: None,
        rate: None,
        bandwidth: None,
        timeouts: registry::Timeouts {
            connect: patience,
            header: patience,
            idle_body: patience,
        },
        // As the program has it.
        retries: registry::Retries {
            attempts: 4,
            base: Duration::from_millis(200),
            cap: Duration::from_secs(10),
        },
    })
}
