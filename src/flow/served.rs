use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Passed;
use super::Tail;
use crate::ledger::Origin;
use crate::oci::Descriptor;

/// An answer whose header is known and whose body may still be coming.
#[derive(Debug)]
pub struct Served {
    /// The whole content, also where only a part of it is served.
    pub descriptor: Descriptor,
    /// Where it comes from.
    pub origin: Origin,
    /// For what came from the store: how long ago it was stored or confirmed.
    pub age: Option<Duration>,
    /// The part that `body` is, as start and end (excluded); `None` for the whole.
    pub part: Option<Range<u64>>,
    /// The bytes; empty for a `HEAD`.
    pub body: Body,
}

/// The bytes of an answer.
#[derive(Debug)]
pub enum Body {
    /// None: only the header was asked for.
    Empty,
    /// All there already.
    Bytes(Bytes),
    /// From a stored or a growing file.
    Tail(Tail),
    /// From the upstream, unstored.
    Passed(Passed),
}

/// A list of tags or referrers.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The JSON.
    pub bytes: Bytes,
    /// Its media type.
    pub media_type: Arc<str>,
    /// The query of the next page, without the question mark.
    pub next: Option<String>,
    /// `OCI-Filters-Applied`.
    pub filters: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
}
