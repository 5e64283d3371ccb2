use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use moka::sync::Cache;
use tokio::sync::watch;

use super::lock;
use crate::oci::Digest;
use crate::oci::Name;
use crate::registry::Mounts;

/// What a target mounts, by its family and by what it did lately.
#[derive(Debug)]
pub(super) struct Mounting {
    family: Mounts,
    refusing: Mutex<Option<Instant>>,
    /// Counts refusals that tell of the target.
    refused: watch::Sender<u64>,
    /// What was put there just now: a mount of that is refused by who refuses mounts.
    ours: Cache<(Name, Digest), ()>,
    sparse: Mutex<Option<bool>>,
}

/// How long a target that refuses mounts is taken at its word.
const A_WHILE: Duration = Duration::from_secs(15 * 60);
/// How long what was put there is just now.
const JUST_NOW: Duration = Duration::from_secs(10 * 60);
const MOST: u64 = 20_000;

impl Mounting {
    pub(super) fn new(family: Mounts, sparse: Option<bool>) -> Self {
        Self {
            family,
            refusing: Mutex::default(),
            refused: watch::channel(0).0,
            ours: Cache::builder()
                .max_capacity(MOST)
                .time_to_live(JUST_NOW)
                .build(),
            sparse: Mutex::new(sparse),
        }
    }

    /// What it mounts now.
    pub(super) fn now(&self) -> Mounts {
        let refusing = *lock(&self.refusing);
        match refusing {
            Some(until) if Instant::now() < until => Mounts::Never,
            _ => self.family,
        }
    }

    /// Whether it refuses what its family does not.
    pub(super) fn refuses(&self) -> bool {
        self.now() != self.family
    }

    /// `name` has got `digest` from us, so that it can be mounted from there.
    pub(super) fn put(&self, name: &Name, digest: &Digest) {
        self.ours.insert((name.clone(), digest.clone()), ());
    }

    /// A mount of `digest` from `name` was refused: whether that is because the target refuses
    /// mounts. Otherwise the blob is not there any more.
    pub(super) fn refused(&self, name: &Name, digest: &Digest) -> bool {
        if !self.ours.contains_key(&(name.clone(), digest.clone())) {
            return false;
        }
        *lock(&self.refusing) = Some(Instant::now() + A_WHILE);
        self.refused.send_modify(|count| *count += 1);
        true
    }

    /// A mount was taken: it does not refuse them.
    pub(super) fn taken(&self) {
        *lock(&self.refusing) = None;
    }

    /// Ends when the target is found to refuse mounts, from now on.
    pub(super) async fn turned_refusing(&self) {
        let mut refused = self.refused.subscribe();
        if refused.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether it takes an index whose manifests are not all there; `None` where nobody knows.
    pub(super) fn sparse(&self) -> Option<bool> {
        *lock(&self.sparse)
    }

    /// It did, or did not.
    pub(super) fn found_sparse(&self, sparse: bool) {
        *lock(&self.sparse) = Some(sparse);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_of_what_was_just_put_there_tells_of_the_target() {
        let mounting = Mounting::new(Mounts::Any, None);
        let (name, blob): (Name, _) = ("a".parse().unwrap(), Digest::of(b"x"));
        assert!(!mounting.refused(&name, &blob));
        assert_eq!(mounting.now(), Mounts::Any);
        mounting.put(&name, &blob);
        assert!(mounting.refused(&name, &blob));
        assert_eq!(mounting.now(), Mounts::Never);
        assert!(mounting.refuses());
        mounting.taken();
        assert!(!mounting.refuses());
    }
}
