use jiff::Timestamp;

use super::Order;
use super::since::Written;

/// Why a tag is not wanted, in words for who wrote the filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// It is not one of those that are named.
    #[error("not in the list")]
    NotNamed,
    /// It fits no pattern of `include`.
    #[error("fits nothing in include")]
    NotIncluded,
    /// It fits a pattern of `exclude`.
    #[error("excluded by '{0}'")]
    Excluded(String),
    /// Its name is made of a digest.
    #[error("made for a digest: a signature or the like, which comes with its image")]
    About,
    /// Versions are asked for, and it is none.
    #[error("no semantic version")]
    NoVersion,
    /// It has a suffix, and nothing asks for that.
    #[error("a pre-release or variant (-{0}); set prerelease = true, or include '*-{0}'")]
    Suffix(String),
    /// Its version is out of the range.
    #[error("not in semver '{0}'")]
    OutOfRange(String),
    /// Its date is not known.
    #[error("its date is not known: {0}")]
    Undated(String),
    /// It is too old.
    #[error("of {}, older than {}", Written(*.date), Written(*.since))]
    Older {
        /// Its own date.
        date: Timestamp,
        /// From when on tags are wanted.
        since: Timestamp,
    },
    /// There are enough later ones.
    #[error("not among the latest {count} ({order})")]
    NotLatest {
        /// How many are wanted.
        count: usize,
        /// In which order.
        order: Order,
    },
}
