//! Clients beside a prefetch: how long they wait for the first byte of what is not stored, with and
//! without one at full speed.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use fake_registry::Client;
use fake_registry::Tidegate;
use fake_registry::Upstream;
use futures_util::future::join_all;
use tokio::runtime::Runtime;

use crate::folder::Folder;
use crate::measure::quantile;
use crate::patience::Patience;
use crate::peers;
use crate::report::Aim;
use crate::report::Line;
use crate::report::OWN;
use crate::report::Report;
use crate::report::Section;
use crate::report::System;
use crate::stop;

/// How many clients, how often.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How often each of both is measured, in turn.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) iterations: usize,
    /// How many clients pull at the same time.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) clients: usize,
    /// How long each is measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 8)]
    pub(crate) seconds: u64,
    /// The tidegate to measure [default: the release build, built first where run by cargo].
    #[arg(long, value_name = "PATH")]
    pub(crate) tidegate: Option<PathBuf>,
    /// Where the store is put.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    pub(crate) dir: PathBuf,
    /// Wait up to this long for a quiet machine before each.
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    pub(crate) patience: Patience,
}

/// What a client pulls, in bytes.
const PULLED: u64 = 128 << 10;
/// How long it thinks before the next pull.
const THOUGHT: Duration = Duration::from_millis(25);
/// The layers of a prefetch: how many, and their length in bytes.
const LAYERS: usize = 400;
const LAYER: u64 = 4 << 20;

struct World {
    source: Upstream,
    tidegate: Tidegate,
    client: Client,
    /// What no client has pulled yet.
    blobs: Mutex<Vec<String>>,
    seed: AtomicUsize,
}

/// How long clients waited, in milliseconds each, by iteration.
#[derive(Debug, Default)]
struct Waits {
    alone: Vec<Vec<f64>>,
    beside: Vec<Vec<f64>>,
    /// What was prefetched meanwhile, in MB/s.
    prefetched: Vec<f64>,
}

/// The column of clients that have the proxy for themselves.
const ALONE: &str = "no prefetch";
/// How much longer clients may wait beside a prefetch.
const AIM: Aim = Aim::NoMore(1.2, ALONE);

/// Lets clients pull with and without a prefetch beside them, and adds how long they waited to
/// `report`.
///
/// # Errors
/// When tidegate is not there, or a pull fails.
pub(crate) fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let program = peers::tidegate::wanted(options.tidegate.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let waits = waits(options, &program, &runtime);
    runtime.shutdown_background();
    report.add_system(peers::tidegate::system(&program)?);
    report.add_system(System {
        name: ALONE.to_owned(),
        version: "tidegate, the same process".to_owned(),
        limits: "brings nothing but what clients ask for".to_owned(),
    });
    report.sections.push(section(&waits?));
    Ok(())
}

/// Each measurement has a proxy and an upstream of its own: no prefetch outlasts it.
fn waits(options: &Options, program: &Path, runtime: &Runtime) -> anyhow::Result<Waits> {
    let mut waits = Waits::default();
    for iteration in 0..options.iterations {
        for turn in [false, true] {
            stop::check()?;
            rustix::fs::sync();
            options.patience.await_quiet(None);
            let beside = turn != (iteration % 2 == 1);
            let folder = Folder::new(&options.dir)?;
            let (found, bytes) = runtime.block_on(async {
                let world = World::start(program, folder.path()).await;
                Arc::new(world).measure(options, beside).await
            })?;
            eprintln!(
                "mixed {} {}: median {:.2} ms of {} pulls, {bytes:.0} MB/s prefetched",
                iteration + 1,
                if beside { "beside a prefetch" } else { ALONE },
                quantile(&found, 0.5).unwrap_or(f64::NAN),
                found.len(),
            );
            if beside {
                waits.prefetched.push(bytes);
                waits.beside.push(found);
            } else {
                waits.alone.push(found);
            }
        }
    }
    Ok(waits)
}

fn section(waits: &Waits) -> Section {
    let titles = [
        ("first byte of a cold 128 KiB blob", 0.5),
        ("- 90 of 100", 0.9),
        ("- 99 of 100", 0.99),
    ];
    let mut lines = Vec::new();
    for (title, share) in titles {
        let line = Line::new(title, "ms");
        let mut line = if share == 0.5 { line.aim(AIM) } else { line };
        for (system, rounds) in [(ALONE, &waits.alone), (OWN, &waits.beside)] {
            let figures = rounds.iter().filter_map(|it| quantile(it, share));
            figures.for_each(|figure| line.add(system, figure));
        }
        lines.push(line);
    }
    let mut fetched = Line::new("- prefetched meanwhile", "MB/s");
    waits.prefetched.iter().for_each(|it| fetched.add(OWN, *it));
    lines.push(fetched);
    Section {
        name: NAME.to_owned(),
        question: "How much longer do 16 clients wait beside a prefetch at full speed?".to_owned(),
        lines,
        took: 0.0,
    }
}

/// The scenario's name.
pub(crate) const NAME: &str = "mixed";

impl World {
    async fn start(program: &Path, folder: &Path) -> Self {
        let source = Upstream::start().await;
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n\n\
             [[upstream]]\nname = \"up.test\"\ndefault = true\nurl = {:?}\nplain_http = true\n\
             credentials = \"anonymous\"\n\n[[prefetch]]\nname = \"bulk\"\n\
             from = \"up.test/bulk/*\"\nreferrers = false\n",
            source.url()
        );
        let tidegate = Tidegate::builder(program, &config).folder(folder);
        Self {
            tidegate: tidegate.start().await,
            source,
            client: Client::new(),
            blobs: Mutex::default(),
            seed: AtomicUsize::new(0),
        }
    }

    /// How long clients waited, in milliseconds each, and how much was prefetched meanwhile, in MB a
    /// second.
    async fn measure(
        self: &Arc<Self>,
        options: &Options,
        beside: bool,
    ) -> anyhow::Result<(Vec<f64>, f64)> {
        let length = Duration::from_secs(options.seconds);
        let pulls = length.as_millis() / THOUGHT.as_millis() + 1;
        self.stock(options.clients * usize::try_from(pulls)?);
        if beside {
            self.prefetch().await?;
        }
        self.source.clear_log();
        let deadline = Instant::now() + length;
        let clients = (0..options.clients).map(|_| {
            let world = self.clone();
            tokio::spawn(async move { world.pull(deadline).await })
        });
        let mut waits = Vec::new();
        for client in join_all(clients).await {
            waits.extend(client??);
        }
        let ended = self.source.take_ended();
        let bulk = ended
            .iter()
            .filter(|it| it.path.contains("/bulk") && it.path.contains("/blobs/"));
        let bytes = bulk.count() as f64 * LAYER as f64;
        Ok((waits, bytes / 1e6 / length.as_secs_f64()))
    }

    /// Puts blobs into the source that nobody has pulled.
    fn stock(&self, count: usize) {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        blobs.extend((0..count).map(|_| {
            let seed = self.seed.fetch_add(1, Ordering::Relaxed) as u64;
            self.source.put_generated_blob("clients/app", PULLED, seed)
        }));
    }

    /// Begins a prefetch that takes longer than the measurement.
    async fn prefetch(&self) -> anyhow::Result<()> {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        for number in 0..LAYERS {
            let name = format!("bulk/app{}", number % 20);
            let seed = 1_000_000 + number as u64;
            let digest = self.source.put_generated_blob(&name, LAYER, seed);
            let layer = serde_json::json!({"mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": digest, "size": LAYER});
            let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": media_type,
                "layers": [layer]});
            let tag = format!("v{number}");
            self.source
                .put_manifest(&name, &tag, media_type, manifest.to_string());
        }
        let url = format!("{}/api/v1/prefetch/bulk", self.tidegate.admin());
        let begun = self.client.request("POST".parse()?, url).send().await?;
        anyhow::ensure!(
            begun.status.is_success(),
            "the prefetch does not begin: {}",
            begun.status
        );
        let is_bulk = |path: &str| path.contains("/bulk") && path.contains("/blobs/");
        self.source
            .wait_for(|log| log.iter().any(|it| is_bulk(&it.path)))
            .await;
        Ok(())
    }

    async fn pull(&self, deadline: Instant) -> anyhow::Result<Vec<f64>> {
        let mut waits = Vec::new();
        while Instant::now() < deadline {
            let next = self
                .blobs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let Some(digest) = next else { break };
            let url = format!("{}/v2/clients/app/blobs/{digest}", self.tidegate.url());
            let begun = Instant::now();
            let mut reply = self.client.get(url).send().await?;
            anyhow::ensure!(reply.status.is_success(), "{digest}: {}", reply.status);
            reply.read_exactly(1).await?;
            waits.push(begun.elapsed().as_secs_f64() * 1000.0);
            drop(reply.bytes().await?);
            tokio::time::sleep(THOUGHT).await;
        }
        Ok(waits)
    }
}
