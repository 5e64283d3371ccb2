use super::names::Origin;
use super::names::names;

names! {
    /// Why bytes that came from an upstream or a target were thrown away, or were sent to a target
    /// for nothing.
    Reason {
        /// They came before what was asked for: the upstream ignores ranges, or they are only
        /// hashed, to check what comes after.
        Skipped => "skipped",
        /// They came after what was wanted of this answer: another one brings them, or nobody asked.
        Surplus => "surplus",
        /// The body of an error.
        Error => "error",
        /// The body of a redirect.
        Redirect => "redirect",
        /// What is for the proxy itself: tokens, pings.
        Control => "control",
        /// Read to learn how long the blob is.
        Measured => "measured",
        /// What came is not what its digest, its length or its header says.
        Mismatch => "mismatch",
        /// The upstream did not give the rest.
        Incomplete => "incomplete",
        /// The store or its disk did not take them.
        Unstorable => "unstorable",
        /// The store has the blob already.
        Duplicate => "duplicate",
        /// The blob is larger than all that the store may hold.
        Oversized => "oversized",
        /// Nobody wanted them any more.
        Abandoned => "abandoned",
        /// The target did not take them.
        Refused => "refused",
        /// The connection to the target broke, or the target stopped taking, before it had all.
        Broken => "broken",
    }
}

names! {
    /// Where the bytes come from that a client is sent.
    Source {
        /// What we hold.
        Store => "store",
        /// What an upstream gave for this: a growing file, or unstored.
        Flow => "flow",
        /// Our own words: errors, `{}`, the catalog.
        Own => "own",
    }
}

/// What became of body bytes. For those that an upstream or a target gave: `Kept` (see
/// [`super::Deposit`]), `Committed`, `Passed` or `Discarded`; for those that a client was sent:
/// `Given`; for those that a target was sent: `Committed` or `Discarded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Written into a file that may become a blob.
    Kept,
    /// Published in the store; of what a target was sent: there, as it said.
    Committed,
    /// Given to clients, and not stored.
    Passed,
    /// Thrown away.
    Discarded(Reason),
    /// Given to a client.
    Given(Source),
}

impl Fate {
    /// How many there are.
    pub(super) const COUNT: usize = 3 + Reason::ALL.len() + Source::ALL.len();

    /// The place of this one among all.
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Kept => 0,
            Self::Committed => 1,
            Self::Passed => 2,
            Self::Discarded(reason) => 3 + reason as usize,
            Self::Given(source) => 3 + Reason::ALL.len() + source as usize,
        }
    }

    /// All of them, in the order of their places.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let discarded = Reason::ALL.iter().map(|reason| Self::Discarded(*reason));
        let given = Source::ALL.iter().map(|source| Self::Given(*source));
        [Self::Kept, Self::Committed, Self::Passed]
            .into_iter()
            .chain(discarded)
            .chain(given)
    }
}

/// For what is all there when its answer begins.
impl From<Origin> for Source {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Hit | Origin::Stale => Self::Store,
            Origin::Joined | Origin::Filled | Origin::Bypassed => Self::Flow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_place_of_its_own() {
        let places: Vec<_> = Fate::all().map(Fate::index).collect();
        assert_eq!(places, (0..Fate::COUNT).collect::<Vec<_>>());
    }
}
