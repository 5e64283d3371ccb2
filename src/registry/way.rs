//! In which way a registry takes a blob (distribution spec, "Pushing blobs").

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use super::Error;
use super::family::Family;

/// How the bytes of a blob are sent, once there is a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// One `PUT` with all of them.
    Put,
    /// One `PATCH` with all of them, then an empty `PUT`.
    Patch,
    /// Where there are more than so many bytes: `PATCH`es of so many at most, then an empty `PUT`.
    Chunks(u64),
}

/// The ways of one endpoint: as its family has them, until it shows that it wants another.
#[derive(Debug)]
pub(super) struct Ways {
    usual: Way,
    /// Whether another may be tried: some that have one way are known to spoil the others.
    may_change: bool,
    learned: Mutex<Option<(Way, Instant)>>,
}

/// So long a registry is expected to want what it wanted.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);
/// The size of chunks where a registry does not take the whole, in bytes.
const CHUNK: u64 = 16 << 20;

impl Ways {
    pub(super) fn of(family: &Family) -> Self {
        let (usual, may_change) = family.uploads();
        Self {
            usual,
            may_change,
            learned: Mutex::default(),
        }
    }

    /// The way for now.
    pub(super) fn now(&self) -> Way {
        let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        match *learned {
            Some((way, since)) if since.elapsed() < REMEMBERED => way,
            _ => self.usual,
        }
    }

    /// From now on `way`.
    #[cfg(test)]
    pub(super) fn set(&self, way: Way) {
        *self.learned.lock().unwrap() = Some((way, Instant::now()));
    }

    /// Whether `error`, which a blob of `size` bytes came to that was sent in the way `tried`, is a
    /// reason to go another way from now on.
    pub(super) fn learn(&self, tried: Way, size: u64, error: &Error) -> bool {
        let other = match (tried, error) {
            _ if !self.may_change => None,
            (Way::Put | Way::Patch, Error::Invalid { status: 413, .. }) if size > CHUNK => {
                Some(Way::Chunks(CHUNK))
            }
            (Way::Put, Error::Invalid { status, code, .. })
                if matches!(status, 405 | 411 | 501) || code == "UNSUPPORTED" =>
            {
                Some(Way::Patch)
            }
            // One that does not know the session says so.
            (Way::Put, Error::NotFound { code }) if code.is_empty() => Some(Way::Patch),
            _ => None,
        };
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = other {
            *learned = Some((way, Instant::now()));
        }
        other.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid(status: u16, code: &str) -> Error {
        Error::Invalid {
            status,
            code: code.into(),
            message: String::new(),
        }
    }

    #[test]
    fn a_refusal_of_the_way_is_learned_from() {
        let lost = |code: &str| Error::NotFound { code: code.into() };
        for (error, size, way) in [
            (invalid(405, ""), 1, Way::Patch),
            (invalid(400, "UNSUPPORTED"), 1, Way::Patch),
            (lost(""), 1, Way::Patch),
            (invalid(413, ""), CHUNK + 1, Way::Chunks(CHUNK)),
        ] {
            let ways = Ways::of(Family::of("registry.test"));
            assert!(ways.learn(Way::Put, size, &error), "{error:?}");
            assert_eq!(ways.now(), way);
            assert!(!ways.learn(way, size, &error), "{error:?}");
        }
        let ways = Ways::of(Family::of("registry.test"));
        for error in [
            invalid(400, "DIGEST_INVALID"),
            invalid(413, ""),
            lost("BLOB_UPLOAD_UNKNOWN"),
            Error::Content(String::new()),
        ] {
            assert!(!ways.learn(Way::Put, CHUNK, &error), "{error:?}");
        }
        assert_eq!(ways.now(), Way::Put);
    }

    #[test]
    fn some_have_one_way_alone() {
        for (host, way) in [
            ("ghcr.io", Way::Put),
            ("europe-docker.pkg.dev", Way::Put),
            ("gcr.io", Way::Put),
            ("me.azurecr.io", Way::Chunks(CHUNK)),
        ] {
            let ways = Ways::of(Family::of(host));
            assert!(
                !ways.learn(Way::Put, CHUNK + 1, &invalid(413, "")),
                "{host}"
            );
            assert!(!ways.learn(Way::Put, 1, &invalid(405, "")), "{host}");
            assert_eq!(ways.now(), way, "{host}");
        }
    }
}
