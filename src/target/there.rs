use super::Targets;
use crate::oci::Repository;
use crate::oci::Tag;

impl Targets {
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
