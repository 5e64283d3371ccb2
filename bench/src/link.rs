//! The link between the origin and everybody else: as fast as memory, or paced.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

/// One link that all connections share.
#[derive(Debug)]
pub(crate) struct Link {
    /// Bytes a second; 0 for no limit.
    rate: AtomicU64,
    /// When the link has sent all that was given to it.
    free_at: Mutex<Instant>,
}

impl Link {
    /// A link without a limit.
    pub(crate) fn new() -> Self {
        Self {
            rate: AtomicU64::new(0),
            free_at: Mutex::new(Instant::now()),
        }
    }

    /// From now on, `rate` bytes a second; `None` for no limit.
    pub(crate) fn pace(&self, rate: Option<u64>) {
        self.rate.store(rate.unwrap_or(0), Ordering::Relaxed);
    }

    /// How much may be sent at once, of `wanted` bytes.
    pub(crate) fn portion(&self, wanted: u64) -> u64 {
        match self.rate.load(Ordering::Relaxed) {
            0 => wanted,
            rate => wanted.min((rate / 2000).max(16 * 1024)),
        }
    }

    /// Waits until the link has carried `bytes` more.
    pub(crate) fn carry(&self, bytes: u64) {
        let rate = self.rate.load(Ordering::Relaxed);
        if rate == 0 {
            return;
        }
        let cost = Duration::from_secs_f64(bytes as f64 / rate as f64);
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        // A sleeper that wakes late may catch up 5 ms, as a switch's queue would let it.
        let now = Instant::now();
        let earliest = now.checked_sub(Duration::from_millis(5)).unwrap_or(now);
        *free_at = (*free_at).max(earliest) + cost;
        let due = *free_at;
        drop(free_at);
        std::thread::sleep(due.saturating_duration_since(now));
    }
}
