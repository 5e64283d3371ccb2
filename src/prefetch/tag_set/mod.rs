//! Which tags of a repository are wanted, and why the others are not.
//!
//! All of this is pure: what is listed goes in, a verdict for each comes out.

use std::num::NonZeroUsize;
use std::sync::Arc;

use jiff::Timestamp;

use crate::oci::Digest;
use crate::oci::Tag;

mod judging;
mod order;
mod pattern;
mod range;
mod since;
mod version;
mod why;

pub(in crate::prefetch) use judging::Judging;
pub use order::Order;
pub use order::naturally;
pub use pattern::Pattern;
pub use range::Ranges;
pub use since::Since;
pub use why::Why;

/// `tags` of a `[[prefetch]]`.
#[derive(Clone, Debug, PartialEq)]
pub enum TagSet {
    /// These, whatever else there is: no list is requested.
    Literal(Arc<[Tag]>),
    /// Those of the list that pass.
    Chosen(Filter),
}

/// What a tag must pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// It fits one of them; none for all.
    pub include: Vec<Pattern>,
    /// It fits none of them.
    pub exclude: Vec<Pattern>,
    /// Its version is within one of them.
    pub semver: Option<Ranges>,
    /// Whether versions with a suffix are wanted.
    pub prerelease: bool,
    /// It is one of so many, at the end of the order.
    pub latest: Option<NonZeroUsize>,
    /// The order of `latest`. `None` for versions, where there are any, else names.
    pub order: Option<Order>,
    /// It is not older.
    pub since: Option<Since>,
}

/// A tag as its source lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The tag.
    pub tag: Tag,
    /// When it was pushed, else when its image was built, where the source tells it.
    pub pushed: Option<Timestamp>,
    /// Its digest, where the source tells it.
    pub digest: Option<Digest>,
}

/// A tag, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The tag.
    pub tag: Tag,
    /// Whether it is wanted.
    pub verdict: Verdict,
}

/// Whether a tag is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    In,
    /// It is not.
    Out(Why),
}

impl TagSet {
    /// The tags, where they are named one by one.
    pub fn literal(&self) -> Option<&[Tag]> {
        match self {
            Self::Literal(tags) => Some(tags),
            Self::Chosen(_) => None,
        }
    }

    /// Whether tags can't be judged without their dates.
    pub fn needs_dates(&self) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::Chosen(filter) => {
                let by_date = filter.order == Some(Order::Date) && filter.latest.is_some();
                filter.since.is_some() || by_date
            }
        }
    }

    /// From when on tags are wanted, in a run that began `now`.
    pub fn since(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Literal(_) => None,
            Self::Chosen(filter) => filter.since.map(|since| since.counted_from(now)),
        }
    }

    /// A verdict for each of `listed`, in their order, in a run that began `now`. Where a date is
    /// needed, and `listed` has none, the tag is out.
    pub fn judge(&self, listed: &[Listed], now: Timestamp) -> Vec<Judged> {
        match self {
            Self::Literal(named) => listed.iter().map(|it| by_list(named, it)).collect(),
            Self::Chosen(filter) => Judging::new(filter, listed, now).verdicts(),
        }
    }
}

fn by_list(named: &[Tag], listed: &Listed) -> Judged {
    Judged {
        tag: listed.tag.clone(),
        verdict: match named.contains(&listed.tag) {
            true => Verdict::In,
            false => Verdict::Out(Why::NotNamed),
        },
    }
}

impl Default for TagSet {
    /// All tags.
    fn default() -> Self {
        Self::Chosen(Filter::default())
    }
}
