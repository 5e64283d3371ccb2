use crate::prefetch::Counts;
use crate::prefetch::Item;
use crate::prefetch::ItemOutcome;
use crate::prefetch::Outcome;
use crate::prefetch::Tell;
use crate::prefetch::Traffic;

/// What becomes of a run's images, as they end.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) images: Counts,
    pub(super) traffic: Traffic,
    pub(super) items: Vec<Item>,
    pub(super) omitted: u64,
    tell: Tell,
}

/// The most items that a report has.
const MOST: usize = 10_000;
/// The same where all were asked for.
const MOST_OF_ALL: usize = 200_000;

impl Record {
    pub(super) fn new(tell: Tell) -> Self {
        Self {
            tell,
            ..Self::default()
        }
    }

    /// An image has ended.
    pub(super) fn image(&mut self, item: Item) {
        let count = match item.outcome {
            _ if item.about.is_some() => {
                self.images.referrers += u64::from(item.outcome == ItemOutcome::Copied);
                self.images.failed += u64::from(item.outcome == ItemOutcome::Failed);
                return self.keep(item);
            }
            ItemOutcome::Unchanged => &mut self.images.unchanged,
            ItemOutcome::Copied => &mut self.images.copied,
            ItemOutcome::Failed => &mut self.images.failed,
            ItemOutcome::Skipped => &mut self.images.skipped,
            ItemOutcome::Gone => &mut self.images.gone,
            ItemOutcome::Pruned => &mut self.images.pruned,
        };
        *count += 1;
        self.keep(item);
    }

    /// A source, or a repository of it, could not be asked.
    pub(super) fn unasked(&mut self, what: String, why: String) {
        self.images.unasked += 1;
        self.keep(Item {
            image: what,
            outcome: ItemOutcome::Failed,
            why: Some(why),
            ..Item::default()
        });
    }

    pub(super) fn crossed(&mut self, traffic: Traffic) {
        self.traffic += traffic;
    }

    fn keep(&mut self, item: Item) {
        let (wanted, most) = match self.tell {
            Tell::All => (true, MOST_OF_ALL),
            Tell::Changes => (item.outcome != ItemOutcome::Unchanged, MOST),
        };
        match wanted && self.items.len() < most {
            true => self.items.push(item),
            false => self.omitted += u64::from(wanted),
        }
    }

    pub(super) fn outcome(&self, interrupted: bool) -> Outcome {
        let Counts {
            unchanged,
            copied,
            failed,
            gone,
            pruned,
            unasked,
            ..
        } = self.images;
        match (failed + unasked, unchanged + copied + gone + pruned) {
            _ if interrupted => Outcome::Interrupted,
            (0, _) => Outcome::Done,
            (_, 0) => Outcome::Nothing,
            _ => Outcome::Partly,
        }
    }
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.source_requests += other.source_requests;
        self.target_requests += other.target_requests;
        self.throttled += other.throttled;
        self.fetched_bytes += other.fetched_bytes;
        self.uploaded_bytes += other.uploaded_bytes;
        self.uploads += other.uploads;
        self.mounts += other.mounts;
        self.known += other.known;
    }
}
