//! What a docker-registry holds, as its files say: looking costs it no request.

use std::path::PathBuf;
use std::time::Duration;

use crate::process::GLANCE;
use crate::process::docker_registry::DockerRegistry;

impl DockerRegistry {
    /// The digest that a tag names.
    pub fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        let tags = self.repository(repository).join("_manifests/tags");
        let link = std::fs::read_to_string(tags.join(tag).join("current/link")).ok()?;
        Some(link.trim().to_owned())
    }

    /// Whether a repository holds the blob or the manifest `digest`.
    pub fn holds(&self, repository: &str, digest: &str) -> bool {
        let folder = self.repository(repository);
        let path = digest.replace(':', "/");
        let mut kinds = ["_layers", "_manifests/revisions"].iter();
        kinds.any(|kind| folder.join(kind).join(&path).join("link").is_file())
    }

    /// Waits until `tag` names `digest`.
    ///
    /// # Panics
    /// After `limit`, with what was asked of it last.
    pub async fn wait_for_tag(
        &self,
        (repository, tag): (&str, &str),
        digest: &str,
        limit: Duration,
    ) {
        let deadline = tokio::time::Instant::now() + limit;
        while self.tag(repository, tag).as_deref() != Some(digest) {
            let late = tokio::time::Instant::now() > deadline;
            assert!(
                !late,
                "waited {limit:?} in vain for {repository}:{tag}; asked last: {:#?}",
                self.last()
            );
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// The last requests: method, path and status.
    fn last(&self) -> Vec<String> {
        let log = self.access();
        let last = log.iter().rev().take(20).rev();
        last.map(|it| format!("{} {} {}", it.method, it.path, it.status))
            .collect()
    }

    fn repository(&self, name: &str) -> PathBuf {
        let all = self.storage().join("docker/registry/v2/repositories");
        all.join(name)
    }
}
