use super::Order;

/// Why a tag is not wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// It fits no pattern of `include`.
    #[error("fits none of include")]
    NotIncluded,
    /// It fits a pattern of `exclude`.
    #[error("excluded by '{0}'")]
    Excluded(String),
    /// It comes with the image that it is about.
    #[error("a signature, attestation or list of referrers: it comes with its image")]
    About,
    /// Versions are asked for, and it is none.
    #[error("no semantic version")]
    NoVersion,
    /// It has a suffix, and nothing asks for that.
    #[error("a pre-release or variant ('{0}')")]
    Suffix(String),
    /// Its version is out of the range.
    #[error("not within '{0}'")]
    OutOfRange(String),
    /// Its date is not known.
    #[error("its date is not known: {0}")]
    Undated(String),
    /// It is too old.
    #[error("older than {0}")]
    Older(String),
    /// There are enough later ones.
    #[error("not among the latest {count} ({order})")]
    NotLatest {
        /// How many are wanted.
        count: usize,
        /// In which order.
        order: Order,
    },
}
