use std::sync::Arc;

use super::Catalog;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Tag;
use crate::registry::Registry;

/// A target that clients may be served from.
#[derive(Clone, Debug)]
pub struct Reader {
    /// Which target.
    pub target: Arc<str>,
    /// Its registry.
    pub registry: Arc<Registry>,
    /// The repository there.
    pub name: Name,
    pub(super) catalog: Catalog,
}

impl Reader {
    /// Whether it is known to have `digest`, as a blob or a manifest.
    pub fn holds(&self, digest: &Digest) -> bool {
        self.catalog.holds(&self.name, digest).is_some()
    }

    /// Whether what it has as `digest` may be read through the repository that is mirrored there:
    /// the upstream gave it through that one. What was mounted, some manifest only names.
    pub fn opens(&self, digest: &Digest) -> bool {
        let known = self.catalog.holds(&self.name, digest);
        known.is_some_and(|known| known.proven)
    }

    /// The upstream has said that the repository has the blob that is here.
    pub fn prove(&self, digest: &Digest) {
        self.catalog.note_proven(&self.name, digest);
    }

    /// Whether it is known to have `tag`.
    pub fn has_tag(&self, tag: &Tag) -> bool {
        self.catalog.tag(&self.name, tag).is_some()
    }

    /// It has not, or what it has is something else.
    pub fn withdraw(&self, digest: &Digest) {
        self.catalog.withdraw(&self.name, digest);
    }
}
