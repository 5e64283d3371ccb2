//! How much memory a command and its children take.

use std::fs;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use nix::sys::resource::Usage;

/// How often it is looked at: of a short life, little is to be missed.
const SOON: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_millis(20);

/// Looks at a process and its descendants now and then, on a thread of its own.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    thread: Option<JoinHandle<()>>,
}

/// What was seen, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// The most that all held at the same time. Pages that they share count for each.
    together: u64,
    /// What we held ourselves when we began: the kernel takes it for the child's, too, as it was
    /// ours for a moment.
    own: u64,
}

impl Watch {
    /// Begins to look at the process `root`.
    pub(super) fn start(root: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let own = status(std::process::id()).map_or(0, |own| own.peak);
        let seen = Arc::new(Mutex::new(Seen { together: 0, own }));
        let (stopped, noted) = (stop.clone(), seen.clone());
        let started = Instant::now();
        let look = move || {
            while !stopped.load(Ordering::Acquire) {
                let held = held(root);
                let mut seen = noted.lock().unwrap_or_else(PoisonError::into_inner);
                seen.together = seen.together.max(held);
                drop(seen);
                std::thread::park_timeout((started.elapsed() / 50).clamp(SOON, LATER));
            }
        };
        let thread = std::thread::Builder::new().name("footprint".to_owned());
        let thread = thread.spawn(look);
        if let Err(error) = &thread {
            tracing::warn!("the command's children's memory is not measured: {error}");
        }
        Self {
            stop,
            seen,
            thread: thread.ok(),
        }
    }

    /// Ends looking.
    pub(super) fn stop(mut self) -> Seen {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// The peak, with what the kernel says of the largest single process: that is exact, where it is
    /// no memory of ours.
    pub(super) fn with_kernels(self, usage: &Option<Usage>) -> u64 {
        // In KiB: getrusage(2).
        let largest = usage.map_or(0, |usage| usage.max_rss().unsigned_abs() * 1024);
        if largest > self.own {
            self.together.max(largest)
        } else {
            self.together
        }
    }
}

/// What `root` and all below it hold now.
fn held(root: u32) -> u64 {
    let mut all = vec![root];
    let mut sum = 0;
    // One alone is best known by its peak, which is past glances.
    let mut peaks = 0;
    while let Some(process) = all.pop() {
        if let Some(status) = status(process) {
            sum += status.now;
            peaks = peaks.max(status.peak);
        }
        all.extend(children(process));
    }
    sum.max(peaks)
}

struct Status {
    now: u64,
    peak: u64,
}

/// `None` for a process that is gone, or is no more than a number.
fn status(process: u32) -> Option<Status> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let number: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(number * 1024)
    };
    Some(Status {
        now: field("VmRSS:")?,
        peak: field("VmHWM:")?,
    })
}

/// Where the kernel does not tell a process's children, they are none.
fn children(process: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    let texts = threads.flatten().map(|thread| {
        let path = thread.path().join("children");
        fs::read_to_string(path).unwrap_or_default()
    });
    let all = texts.flat_map(|text| {
        let numbers = text.split_whitespace().map(str::parse);
        numbers.filter_map(Result::ok).collect::<Vec<u32>>()
    });
    all.collect()
}
