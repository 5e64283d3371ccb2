//! What is known of targets and owed to them, in its file.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod catalog;
mod crash;
mod damage;
mod full;
mod model;
mod queue;

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use tempfile::TempDir;
use tidegate::oci::Digest;
use tidegate::oci::Name;
use tidegate::oci::Tag;
use tidegate::target::State;

const TTL: Duration = Duration::from_secs(1000);

/// A file that is opened again and again, at a time of our own.
struct Fixture {
    path: PathBuf,
    clock: Arc<AtomicU64>,
    _folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        // Thousands of commits would wait long for a disk.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.unwrap();
        Self {
            path: folder.path().join("store/targets.redb"),
            clock: Arc::new(AtomicU64::new(1_800_000_000)),
            _folder: folder,
        }
    }

    fn open(&self) -> Arc<State> {
        let clock = self.clock.clone();
        let now = move || UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::SeqCst));
        State::with_clock(&self.path, Arc::new(now)).unwrap()
    }

    fn pass(&self, time: Duration) {
        self.clock.fetch_add(time.as_secs(), Ordering::SeqCst);
    }

    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.clock.load(Ordering::SeqCst))
    }

    fn aside(&self) -> PathBuf {
        Path::new(&format!("{}.damaged", self.path.display())).to_owned()
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn digest(number: u32) -> Digest {
    Digest::of(&number.to_be_bytes())
}
