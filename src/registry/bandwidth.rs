//! How many bytes of bodies a second: a token bucket that all bodies of a registry share.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::time::Instant;

use tokio::time::Sleep;

use super::Config;
use super::Priority;
use super::bucket::Bucket;

/// What all bodies of a registry may take together; no limit where it has no bucket.
#[derive(Debug, Default)]
pub(super) struct Bandwidth(Mutex<Option<Bucket>>);

/// One body's part in it: it passes before each piece, and pays for it afterwards.
#[derive(Debug)]
pub(super) struct Toll {
    bandwidth: Arc<Bandwidth>,
    priority: Priority,
    wait: Option<Pin<Box<Sleep>>>,
}

/// So much of a second may come at once,
const BURST: f64 = 0.1;
/// but at least so many bytes.
const LEAST: f64 = 128.0 * 1024.0;
/// Nobody waits longer before looking again: others may have been paid for meanwhile.
const LOOK: Duration = Duration::from_millis(500);

impl Bandwidth {
    /// As `config` has it.
    pub(super) fn new(config: &Config) -> Arc<Self> {
        let bandwidth = Self::default();
        bandwidth.set(config);
        Arc::new(bandwidth)
    }

    /// From now on as `config` has it.
    pub(super) fn set(&self, config: &Config) {
        let bucket = config.bandwidth.map(|bytes| {
            let bytes = bytes.get() as f64;
            Bucket::new(bytes, (bytes * BURST).max(LEAST))
        });
        *self.bucket() = bucket;
    }

    /// For one body.
    pub(super) fn toll(self: &Arc<Self>, priority: Priority) -> Toll {
        Toll {
            bandwidth: self.clone(),
            priority,
            wait: None,
        }
    }

    /// How long to wait before the next piece.
    fn wait(&self, priority: Priority) -> Duration {
        let mut bucket = self.bucket();
        let Some(bucket) = bucket.as_mut() else {
            return Duration::ZERO;
        };
        // Half of it is for those who somebody waits for.
        let floor = match priority {
            Priority::Foreground => 0.0,
            Priority::Background => bucket.half(),
        };
        bucket.wait(Instant::now(), 1.0, floor).min(LOOK)
    }

    fn bucket(&self) -> std::sync::MutexGuard<'_, Option<Bucket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Toll {
    /// Ready when the next piece may come.
    pub(super) fn poll_pass(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(wait) = &mut self.wait {
                ready!(wait.as_mut().poll(cx));
                self.wait = None;
            }
            let wait = self.bandwidth.wait(self.priority);
            if wait.is_zero() {
                return Poll::Ready(());
            }
            self.wait = Some(Box::pin(tokio::time::sleep(wait)));
        }
    }

    /// A piece of so many bytes has come.
    pub(super) fn pay(&self, bytes: usize) {
        if let Some(bucket) = self.bandwidth.bucket().as_mut() {
            bucket.take(Instant::now(), bytes as f64);
        }
    }
}
