//! What a registry's access log says of a run.

use std::collections::HashSet;

use fake_registry::Access;

/// Requests by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) blob_gets: usize,
    pub(super) manifest_gets: usize,
    pub(super) heads: usize,
    /// POSTs that begin an upload, or are a whole one.
    pub(super) starts: usize,
    pub(super) mounts: usize,
    /// Of the mounts: those that were granted.
    pub(super) granted: usize,
    pub(super) chunks: usize,
    /// PUTs that end an upload.
    pub(super) finishes: usize,
    pub(super) manifest_puts: usize,
    /// `/v2/`, lists, referrers, cancelled uploads and all else.
    pub(super) others: usize,
    /// Uploads of a blob that had been uploaded before.
    pub(super) twice: usize,
    /// Answers 429.
    pub(super) throttled: usize,
    /// Other answers from 400 on.
    pub(super) refused: usize,
}

impl Count {
    pub(super) fn of(log: &[Access]) -> Self {
        let mut count = Self::default();
        let mut uploaded = HashSet::new();
        for access in log {
            count.add(access);
            if access.status == 201
                && access.path.contains("/blobs/uploads/")
                && let Some(digest) = parameter(access, "digest")
                && !uploaded.insert(digest)
            {
                count.twice += 1;
            }
        }
        count
    }

    /// All requests.
    pub(super) fn total(&self) -> usize {
        let reads = self.blob_gets + self.manifest_gets + self.heads;
        let writes = self.starts + self.mounts + self.chunks + self.finishes + self.manifest_puts;
        reads + writes + self.others
    }

    fn add(&mut self, access: &Access) {
        match access.status {
            429 => self.throttled += 1,
            400.. => self.refused += 1,
            _ => {}
        }
        let upload = access.path.contains("/blobs/uploads/");
        let manifest = access.path.contains("/manifests/");
        let blob = access.path.contains("/blobs/") && !upload;
        let mount = parameter(access, "mount").is_some();
        let place = match access.method.as_str() {
            "POST" if mount => {
                self.granted += usize::from(access.status == 201);
                &mut self.mounts
            }
            "POST" if upload => &mut self.starts,
            "PATCH" if upload => &mut self.chunks,
            "PUT" if upload => &mut self.finishes,
            "PUT" if manifest => &mut self.manifest_puts,
            "GET" if blob => &mut self.blob_gets,
            "GET" if manifest => &mut self.manifest_gets,
            "HEAD" if blob || manifest => &mut self.heads,
            _ => &mut self.others,
        };
        *place += 1;
    }
}

/// The value of a key of the query, as it was sent.
fn parameter<'a>(access: &'a Access, key: &str) -> Option<&'a str> {
    let mut pairs = access.query.split('&').filter_map(|it| it.split_once('='));
    pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(method: &str, url: &str, status: u16) -> Access {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        Access {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            status,
            bytes: 0,
            user_agent: String::new(),
        }
    }

    #[test]
    fn requests_are_told_apart() {
        let log = [
            access("GET", "/v2/", 200),
            access("HEAD", "/v2/a/blobs/sha256:1", 404),
            access("POST", "/v2/a/blobs/uploads/", 202),
            access("PATCH", "/v2/a/blobs/uploads/7?_state=x", 202),
            access(
                "PUT",
                "/v2/a/blobs/uploads/7?_state=x&digest=sha256%3A1",
                201,
            ),
            access("POST", "/v2/b/blobs/uploads/?mount=sha256:1&from=a", 201),
            access("POST", "/v2/c/blobs/uploads/?mount=sha256:1&from=b", 202),
            access("PUT", "/v2/c/blobs/uploads/8?digest=sha256%3A1", 201),
            access("PUT", "/v2/a/manifests/v1", 429),
        ];
        let count = Count::of(&log);
        let expected = Count {
            heads: 1,
            starts: 1,
            mounts: 2,
            granted: 1,
            chunks: 1,
            finishes: 2,
            manifest_puts: 1,
            others: 1,
            twice: 1,
            throttled: 1,
            refused: 1,
            ..Count::default()
        };
        assert_eq!(count, expected);
        assert_eq!(count.total(), log.len());
    }
}
