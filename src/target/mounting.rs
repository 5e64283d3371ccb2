use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use moka::sync::Cache;
use tokio::sync::watch;

use super::lock;
use super::state::Holder;
use crate::oci::Digest;
use crate::oci::Name;
use crate::registry::Mounts;

/// What a target mounts, by its family and by what it did lately.
#[derive(Debug)]
pub(super) struct Mounting {
    family: Mounts,
    /// What it did lately, and how long that counts.
    learned: Mutex<Option<(Mounts, Instant)>>,
    /// Counts what was learned.
    turns: watch::Sender<u64>,
    /// What was put there just now: a mount of that is refused by who refuses mounts.
    ours: Cache<(Name, Digest), ()>,
    sparse: Mutex<Option<bool>>,
    /// Held by who finds that out.
    trial: tokio::sync::Mutex<()>,
}

/// How long a target is taken at its word.
const A_WHILE: Duration = Duration::from_secs(15 * 60);
/// How long what was put there is just now.
const JUST_NOW: Duration = Duration::from_secs(10 * 60);
const MOST: u64 = 20_000;

impl Mounting {
    pub(super) fn new(family: Mounts, sparse: Option<bool>) -> Self {
        Self {
            family,
            learned: Mutex::default(),
            turns: watch::channel(0).0,
            ours: Cache::builder()
                .max_capacity(MOST)
                .time_to_live(JUST_NOW)
                .build(),
            sparse: Mutex::new(sparse),
            trial: tokio::sync::Mutex::default(),
        }
    }

    /// What it mounts now.
    pub(super) fn now(&self) -> Mounts {
        let learned = *lock(&self.learned);
        match learned {
            Some((mounts, until)) if Instant::now() < until => mounts,
            _ => self.family,
        }
    }

    /// Whether it refuses mounts that its family takes.
    pub(super) fn refuses(&self) -> bool {
        self.family != Mounts::Never && self.now() == Mounts::Never
    }

    /// `name` has got `digest` from us, so that it can be mounted from there.
    pub(super) fn put(&self, name: &Name, digest: &Digest) {
        self.ours.insert((name.clone(), digest.clone()), ());
    }

    /// A mount of `digest` from `holder` was refused: what the target mounts from now on, for a
    /// while. `None` where that tells nothing of it, for the blob may not be there any more.
    pub(super) fn refused(&self, holder: &Holder, digest: &Digest) -> Option<Mounts> {
        if !self
            .ours
            .contains_key(&(holder.name.clone(), digest.clone()))
        {
            return None;
        }
        // One that refuses what no manifest names may take what one does.
        let mounts = match holder.committed {
            false => Mounts::Committed,
            true => Mounts::Never,
        };
        *lock(&self.learned) = Some((mounts, Instant::now() + A_WHILE));
        self.turns.send_modify(|count| *count += 1);
        Some(mounts)
    }

    /// Ends when something else is learned, from now on.
    pub(super) async fn turned(&self) {
        let mut turns = self.turns.subscribe();
        if turns.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether it takes an index whose manifests are not all there; `None` where nobody knows.
    pub(super) fn sparse(&self) -> Option<bool> {
        *lock(&self.sparse)
    }

    /// Waits for the right to find that out: look again then.
    pub(super) async fn trial(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.trial.lock().await
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
        let blob = Digest::of(b"x");
        let mut holder = Holder {
            name: "a".parse().unwrap(),
            fresh: true,
            committed: false,
        };
        assert_eq!(mounting.refused(&holder, &blob), None);
        assert_eq!(mounting.now(), Mounts::Any);
        mounting.put(&holder.name, &blob);
        assert_eq!(mounting.refused(&holder, &blob), Some(Mounts::Committed));
        assert_eq!(mounting.now(), Mounts::Committed);
        assert!(!mounting.refuses());
        holder.committed = true;
        assert_eq!(mounting.refused(&holder, &blob), Some(Mounts::Never));
        assert_eq!(mounting.now(), Mounts::Never);
        assert!(mounting.refuses());
    }
}
