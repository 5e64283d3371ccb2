use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::sync::watch;

use super::lock;
use crate::oci::Digest;
use crate::oci::Name;
use crate::registry::Mounts;

/// Who is about to bring which blob to which repository of a target. Nobody brings what somebody
/// else is bringing: it waits for that one's end, which is certain to come, for a drop is one.
///
/// Where any blob can be mounted, nobody waits for one that waits: an upload waits for nothing here.
/// Where only blobs of committed manifests can be, one waits for errands with a lower number only.
/// Either way there are no circles.
#[derive(Debug, Default)]
pub(super) struct Claims {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    next: u64,
    blobs: HashMap<Digest, Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    name: Name,
    number: u64,
    by: By,
    stage: watch::Receiver<Stage>,
    hurry: Arc<watch::Sender<bool>>,
}

/// How a blob is brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// By an upload, which others may mount from then.
    Upload,
    /// By a mount.
    Mount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// On its way.
    Busy,
    /// The repository has it.
    There,
}

/// Who claims.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimant<'a> {
    /// The repository at the target.
    pub(super) name: &'a Name,
    /// The errand's number: older ones have lower ones.
    pub(super) number: u64,
    /// What the target mounts, now.
    pub(super) mounts: Mounts,
}

/// What a claim came to.
pub(super) enum Stake {
    /// The claimant is to bring it.
    Mine(Claim),
    /// Somebody else is bringing it.
    Theirs(Other),
}

/// The duty to bring a blob. Its drop passes it on to whoever waits.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Arc<Claims>,
    digest: Digest,
    id: u64,
    stage: watch::Sender<Stage>,
    hurry: watch::Receiver<bool>,
}

/// Somebody else's claim.
pub(super) struct Other {
    stage: watch::Receiver<Stage>,
    hurry: Arc<watch::Sender<bool>>,
    /// Whether it is not enough that the blob is there.
    to_the_end: bool,
}

impl Claims {
    /// Claims to bring `digest`.
    pub(super) fn claim(
        self: &Arc<Self>,
        digest: &Digest,
        claimant: &Claimant<'_>,
        by: By,
    ) -> Stake {
        let mut held = lock(&self.held);
        let entries = held.blobs.get(digest).map_or(&[][..], Vec::as_slice);
        if let Some(entry) = entries.iter().find(|entry| entry.is_before(claimant, by)) {
            return Stake::Theirs(Other {
                stage: entry.stage.clone(),
                hurry: entry.hurry.clone(),
                to_the_end: entry.name != *claimant.name && claimant.mounts == Mounts::Committed,
            });
        }
        held.next += 1;
        let id = held.next;
        let (stage, stages) = watch::channel(Stage::Busy);
        let (hurry, hurried) = watch::channel(false);
        let entry = Entry {
            id,
            name: claimant.name.clone(),
            number: claimant.number,
            by,
            stage: stages,
            hurry: Arc::new(hurry),
        };
        held.blobs.entry(digest.clone()).or_default().push(entry);
        Stake::Mine(Claim {
            claims: self.clone(),
            digest: digest.clone(),
            id,
            stage,
            hurry: hurried,
        })
    }

    /// Whether somebody is uploading `digest` for others to mount, or brings it to `claimant`'s
    /// repository.
    pub(super) fn is_claimed(&self, digest: &Digest, claimant: &Claimant<'_>) -> bool {
        let held = lock(&self.held);
        let mut entries = held.blobs.get(digest).into_iter().flatten();
        entries.any(|entry| entry.is_before(claimant, By::Upload))
    }
}

impl Entry {
    /// Whether `claimant` waits for this one before it does anything.
    fn is_before(&self, claimant: &Claimant<'_>, by: By) -> bool {
        let busy = *self.stage.borrow() == Stage::Busy;
        let older = self.number < claimant.number;
        let committed = claimant.mounts == Mounts::Committed;
        if self.name == *claimant.name {
            return busy && (!committed || self.by == By::Upload || older);
        }
        if self.by != By::Upload || by != By::Upload {
            return false;
        }
        match claimant.mounts {
            Mounts::Any => busy,
            Mounts::Committed => older,
            Mounts::Never => false,
        }
    }
}

impl Claim {
    /// The repository has it now: those who wait go on.
    pub(super) fn there(&self) {
        self.stage.send_replace(Stage::There);
    }

    /// Waits until a client waits for it.
    pub(super) async fn hurried(&self) {
        let mut hurry = self.hurry.clone();
        if hurry.wait_for(|hurried| *hurried).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = lock(&self.claims.held);
        if let Some(entries) = held.blobs.get_mut(&self.digest) {
            entries.retain(|entry| entry.id != self.id);
            if entries.is_empty() {
                held.blobs.remove(&self.digest);
            }
        }
    }
}

impl Other {
    /// Tells the holder that a client waits.
    pub(super) fn hurry(&self) {
        self.hurry.send_replace(true);
    }

    /// Waits for the end: the blob is there, or somebody else has to bring it.
    pub(super) async fn ended(mut self) {
        let enough = match self.to_the_end {
            // Only the drop of the claim is.
            true => None,
            false => Some(Stage::There),
        };
        let _ = self
            .stage
            .wait_for(|stage| enough.is_some_and(|enough| *stage >= enough))
            .await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn mine(stake: Stake) -> Claim {
        match stake {
            Stake::Mine(claim) => claim,
            Stake::Theirs(_) => panic!("somebody else's"),
        }
    }

    fn theirs(stake: Stake) -> Other {
        match stake {
            Stake::Theirs(other) => other,
            Stake::Mine(_) => panic!("nobody else's"),
        }
    }

    fn claimant(name: &Name, number: u64, mounts: Mounts) -> Claimant<'_> {
        Claimant {
            name,
            number,
            mounts,
        }
    }

    #[test]
    fn others_wait_until_it_is_there_or_dropped() {
        let claims = Arc::new(Claims::default());
        let (blob, a, b) = (Digest::of(b"x"), name("a"), name("b"));
        let first = claimant(&a, 2, Mounts::Any);
        let second = claimant(&b, 1, Mounts::Any);
        let claim = mine(claims.claim(&blob, &first, By::Upload));
        let mut waiting = Box::pin(theirs(claims.claim(&blob, &second, By::Upload)).ended());
        assert!((&mut waiting).now_or_never().is_none());
        // A mount of it from elsewhere needs nobody.
        drop(mine(claims.claim(&blob, &second, By::Mount)));
        claim.there();
        assert!(waiting.now_or_never().is_some());
        assert!(!claims.is_claimed(&blob, &second));
        drop(claim);
        let claim = mine(claims.claim(&blob, &second, By::Upload));
        let waiting = theirs(claims.claim(&blob, &first, By::Upload)).ended();
        drop(claim);
        assert!(waiting.now_or_never().is_some());
        assert!(lock(&claims.held).blobs.is_empty());
    }

    #[test]
    fn a_commit_is_waited_for_by_younger_ones_only() {
        let claims = Arc::new(Claims::default());
        let (blob, a, b) = (Digest::of(b"x"), name("a"), name("b"));
        let (old, young) = (
            claimant(&a, 1, Mounts::Committed),
            claimant(&b, 2, Mounts::Committed),
        );
        let claim = mine(claims.claim(&blob, &old, By::Upload));
        claim.there();
        let mut waiting = Box::pin(theirs(claims.claim(&blob, &young, By::Upload)).ended());
        assert!((&mut waiting).now_or_never().is_none(), "not committed");
        // Whoever has it there already does not wait for its own claim.
        drop(mine(claims.claim(&blob, &old, By::Upload)));
        drop(claim);
        assert!(waiting.now_or_never().is_some());
        let _claim = mine(claims.claim(&blob, &young, By::Upload));
        mine(claims.claim(&blob, &old, By::Upload));
    }

    #[test]
    fn without_mounts_only_the_own_repository_is_waited_for() {
        let claims = Arc::new(Claims::default());
        let (blob, a, b) = (Digest::of(b"x"), name("a"), name("b"));
        let _claim = mine(claims.claim(&blob, &claimant(&a, 1, Mounts::Never), By::Upload));
        theirs(claims.claim(&blob, &claimant(&a, 2, Mounts::Never), By::Upload));
        mine(claims.claim(&blob, &claimant(&b, 2, Mounts::Never), By::Upload));
    }

    #[tokio::test]
    async fn a_hurry_reaches_the_holder() {
        let claims = Arc::new(Claims::default());
        let (blob, a) = (Digest::of(b"x"), name("a"));
        let claim = mine(claims.claim(&blob, &claimant(&a, 1, Mounts::Any), By::Upload));
        assert!(claim.hurried().now_or_never().is_none());
        theirs(claims.claim(&blob, &claimant(&a, 2, Mounts::Any), By::Upload)).hurry();
        claim.hurried().await;
    }
}
