use super::Targets;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::Tag;

/// Where a target has a blob, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// In the repository that it is wanted in.
    Here,
    /// In another one, which it can be mounted from.
    Elsewhere,
    /// Nowhere.
    Nowhere,
}

impl Targets {
    /// Whether a blob of `repository` would have to be uploaded to `target`.
    pub fn presence(&self, target: &str, repository: &Repository, blob: &Digest) -> Presence {
        let remote = self.remote(target).ok();
        let place = remote.and_then(|it| Some((it, it.config.place.of(repository).ok()?)));
        match place {
            Some((remote, name)) if remote.catalog.holds(&name, blob).is_some() => Presence::Here,
            Some((remote, name)) if remote.source(blob, &name).is_some() => Presence::Elsewhere,
            _ => Presence::Nowhere,
        }
    }

    /// The tags of `repository` that `target` is known to have, for it was given them; none of a
    /// target that is not configured.
    pub fn tags_there(&self, target: &str, repository: &Repository) -> Vec<Tag> {
        let Ok(remote) = self.remote(target) else {
            return Vec::new();
        };
        let Ok(name) = remote.config.place.of(repository) else {
            return Vec::new();
        };
        remote.catalog.tags(&name)
    }
}
