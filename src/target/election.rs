//! Who uploads what, and who mounts it from whom.
//!
//! Several repositories of one target want blobs of which it has none. Each blob is uploaded by one
//! of them, and mounted by the others that want it. Among all ways to do so the election looks for
//! the one of least [`Cost`]. All of them upload the least bytes there are: each blob once. They
//! differ by the waiting, where *l leads f* says that f mounts something that l uploads:
//!
//! 1. how many are led by one that is led itself: their waits add up;
//! 2. the bytes waited for: for each that is led, what each of its leaders uploads first. That is
//!    what others want of it, or all that it uploads, where a blob can be mounted only once a
//!    manifest names it;
//! 3. how many lead: the fewer, the more are done early.
//!
//! Nobody leads its own leader, however far off, so that there is an order in which everybody waits
//! for earlier ones only. Small elections are decided exactly, others by a greedy set cover, weighted
//! by bytes: again and again, who wants most of what nobody uploads yet uploads all of that.
//!
//! Nothing here knows of registries: repositories and blobs are numbers.

mod cost;
mod exact;
mod greedy;
#[cfg(test)]
mod tests;

pub(super) use cost::Cost;

/// What is wanted.
#[derive(Clone, Debug)]
pub(super) struct Ballot {
    /// For each repository, the blobs that it wants: each once, as places in `sizes`.
    pub(super) wants: Vec<Vec<usize>>,
    /// How long each blob is, in bytes.
    pub(super) sizes: Vec<u64>,
    /// Whether a blob can be mounted only once a manifest of the repository names it.
    pub(super) committed: bool,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elected {
    /// Which repository uploads each blob; `None` for what nobody wants.
    pub(super) uploader: Vec<Option<usize>>,
    /// All repositories, each behind those that lead it.
    pub(super) order: Vec<usize>,
}

/// In how many ways a small election may end, at most.
const SMALL: u64 = 4096;

/// Decides.
pub(super) fn elect(ballot: &Ballot) -> Elected {
    let wanted_by = ballot.wanted_by();
    let greedy = greedy::uploaders(ballot, &wanted_by);
    let ways = wanted_by
        .iter()
        .map(|all| all.len().max(1) as u64)
        .try_fold(1u64, u64::checked_mul);
    let uploader = match ways {
        Some(2..=SMALL) => exact::uploaders(ballot, &wanted_by, greedy),
        _ => greedy,
    };
    let order = cost::order(ballot, &wanted_by, &uploader);
    debug_assert!(order.is_some(), "an election without circles");
    Elected {
        order: order.unwrap_or_else(|| (0..ballot.wants.len()).collect()),
        uploader,
    }
}

impl Ballot {
    /// For each blob, the repositories that want it.
    fn wanted_by(&self) -> Vec<Vec<usize>> {
        let mut by = vec![Vec::new(); self.sizes.len()];
        for (repository, wants) in self.wants.iter().enumerate() {
            for &blob in wants {
                by[blob].push(repository);
            }
        }
        by
    }
}
