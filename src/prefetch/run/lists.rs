use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

use crate::oci::Repository;
use crate::oci::Tag;
use crate::prefetch::Prune;
use crate::prefetch::Set;

/// The tags that sources have listed, as far as they are of use later in the run.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// All tags, where what is not among them is pruned.
    pub(super) all: HashMap<Repository, Arc<[Tag]>>,
    /// Those that are made of digests, where referrers are wanted.
    made: HashMap<Repository, Arc<DigestTags>>,
}

/// The tags of a repository that are made of digests: fallback tags, and cosign's.
pub(super) type DigestTags = BTreeSet<Tag>;

impl Lists {
    /// A source has listed all tags of a repository.
    pub(super) fn told(&mut self, set: &Set, repository: Repository, tags: Arc<[Tag]>) {
        if set.referrers {
            let is_made = |tag: &&Tag| {
                tag.as_str().starts_with("sha256-") || tag.as_str().starts_with("sha512-")
            };
            let made = tags.iter().filter(is_made).cloned().collect();
            self.made.insert(repository.clone(), Arc::new(made));
        }
        if set.prune != Prune::Off {
            self.all.insert(repository, tags);
        }
    }

    /// `None` where they were not listed.
    pub(super) fn digest_tags(&self, repository: &Repository) -> Option<Arc<DigestTags>> {
        self.made.get(repository).cloned()
    }
}
