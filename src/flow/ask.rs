use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Reference;
use crate::oci::Repository;
use crate::oci::media;
use crate::registry::Secret;

/// What is wanted, from where.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The repository through which it is asked for.
    pub repository: Repository,
    /// The content.
    pub want: Want,
    /// Whether only the header is wanted, so that no upstream body byte may be spent.
    pub head: bool,
    /// The cause, for the ledger.
    pub flow: FlowId,
    /// On whose behalf.
    pub caller: Caller,
}

/// On whose behalf something is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// What the client sent as `Authorization`, for upstreams whose credentials are the client's
    /// own.
    pub authorization: Option<Secret>,
}

/// The content that is wanted.
#[derive(Clone, Debug)]
pub enum Want {
    /// A manifest.
    Manifest {
        /// Which one.
        reference: Reference,
        /// What the client can read.
        accept: Accept,
    },
    /// A blob.
    Blob {
        /// Which one.
        digest: Digest,
        /// Which part of it; `None` for all.
        range: Option<ByteRange>,
    },
    /// A page of tags.
    Tags {
        /// The client's query, without the question mark and without `ns`.
        query: String,
    },
    /// A page of referrers.
    Referrers {
        /// Of which manifest.
        digest: Digest,
        /// The client's query, without the question mark and without `ns`.
        query: String,
    },
}

/// A single byte range (RFC 9110, section 14.1.2), not yet held against a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `bytes=N-`
    From(u64),
    /// `bytes=N-M`, both included.
    Within(u64, u64),
    /// `bytes=-N`: the last N.
    Suffix(u64),
}

/// The manifest types that a client can read (RFC 9110, section 12.5.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Accept {
    /// All of [`media::NATIVE`]: it gets any tag as it was pushed.
    Native,
    /// Less than that: the header as the client sent it, its values joined; empty for none.
    Only(String),
}

impl Accept {
    /// Reads the values of a request's `Accept` headers.
    pub fn from_headers<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let joined = values.collect::<Vec<_>>().join(", ");
        let all = media::NATIVE
            .iter()
            .all(|native| types(&joined).any(|t| t == *native));
        if all {
            Self::Native
        } else {
            Self::Only(joined)
        }
    }

    /// Whether the client named `media_type`. A wildcard does not count: registries convert for
    /// clients that do not name the type.
    pub fn names(&self, media_type: &str) -> bool {
        match self {
            Self::Native => true,
            Self::Only(header) => types(header).any(|t| t == media_type),
        }
    }

    /// The header to send upstream; empty for none.
    pub fn header(&self) -> &str {
        match self {
            Self::Native => media::ACCEPT_NATIVE,
            Self::Only(header) => header,
        }
    }
}

/// The media types of an `Accept` header, without their parameters.
fn types(header: &str) -> impl Iterator<Item = &str> {
    header
        .split(',')
        .map(|item| item.split(';').next().unwrap_or(item).trim())
}

impl ByteRange {
    /// The part of a content of `size` bytes, as start and end (excluded); `None` where it is
    /// unsatisfiable.
    pub fn within(self, size: u64) -> Option<std::ops::Range<u64>> {
        let (start, end) = match self {
            Self::From(start) => (start, size),
            Self::Within(start, last) => (start, size.min(last.saturating_add(1))),
            Self::Suffix(length) => (size.saturating_sub(length), size),
        };
        (start < end).then_some(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_accepts_all_native_types_gets_tags_as_pushed() {
        let docker = [
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.distribution.manifest.list.v2+json;q=0.9,application/json",
            "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json",
        ];
        assert_eq!(Accept::from_headers(docker.into_iter()), Accept::Native);
        let old = Accept::from_headers(docker.into_iter().take(1));
        assert!(old.names(media::DOCKER_MANIFEST) && !old.names(media::OCI_INDEX));
        assert_eq!(Accept::from_headers(["*/*"].into_iter()).header(), "*/*");
        assert_eq!(Accept::from_headers(std::iter::empty()).header(), "");
    }

    #[test]
    fn ranges_are_cut_to_the_content() {
        assert_eq!(ByteRange::From(3).within(10), Some(3..10));
        assert_eq!(ByteRange::From(10).within(10), None);
        assert_eq!(ByteRange::Within(0, 0).within(10), Some(0..1));
        assert_eq!(ByteRange::Within(5, u64::MAX).within(10), Some(5..10));
        assert_eq!(ByteRange::Within(5, 4).within(10), None);
        assert_eq!(ByteRange::Suffix(3).within(10), Some(7..10));
        assert_eq!(ByteRange::Suffix(30).within(10), Some(0..10));
        assert_eq!(ByteRange::Suffix(0).within(10), None);
        assert_eq!(ByteRange::From(0).within(0), None);
    }
}
