use moka::sync::Cache;

use super::Call;
use crate::oci::Digest;
use crate::oci::UpstreamName;
use crate::store::Store;

/// Which upstreams have given which blobs, by the credentials that are configured for them. What one
/// of them has given through one repository, the operator has, whatever other repository of it names
/// it too.
#[derive(Clone, Debug)]
pub(super) struct Origins(Cache<(UpstreamName, Digest), ()>);

/// How many blobs are remembered without a look at the disk.
const REMEMBERED: u64 = 20_000;

impl Default for Origins {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Origins {
    /// `upstream` has given the blob.
    pub(super) fn note(&self, upstream: &UpstreamName, digest: &Digest) {
        self.0.insert((upstream.clone(), digest.clone()), ());
    }

    /// Whether this call's upstream has given the blob, now or to an earlier process.
    pub(super) async fn has_given(&self, call: &Call, digest: &Digest, store: &Store) -> bool {
        let upstream = &call.repository.upstream;
        if self.0.contains_key(&(upstream.clone(), digest.clone())) {
            return true;
        }
        let linked = store.is_linked_anywhere(upstream, digest).await;
        let linked = linked.unwrap_or_else(|error| {
            tracing::error!(%upstream, %digest, "the links can't be read: {error}");
            false
        });
        if linked {
            self.note(upstream, digest);
        }
        linked
    }
}
