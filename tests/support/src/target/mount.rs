//! Mounts (distribution spec, "Mounting a blob from another repository").

use serde_json::Value;

use crate::target::Registry;
use crate::target::builder::Mounts;
use crate::target::session::Mount;
use crate::upstream::repositories::Manifest;
use crate::upstream::repositories::Repository;

impl Registry {
    /// Mounts `digest` from `from` into `name`, where that is granted.
    pub(super) fn mount(&self, name: &str, digest: &str, from: Option<&str>) -> bool {
        let mounts = self.rules().mounts;
        let found = from.and_then(|from| {
            let found = self.repositories.read(from, |source| {
                let granted = match mounts {
                    Mounts::Never => false,
                    Mounts::Any => true,
                    Mounts::Committed => committed(source, digest),
                };
                source.blobs.get(digest).filter(|_| granted).cloned()
            });
            found.flatten()
        });
        let accepted = found.is_some();
        if let Some(content) = found {
            self.repositories
                .write(name, |it| it.blobs.insert(digest.to_owned(), content));
        }
        self.sessions.mounted(Mount {
            repository: name.to_owned(),
            digest: digest.to_owned(),
            from: from.unwrap_or_default().to_owned(),
            accepted,
        });
        accepted
    }
}

/// Whether a manifest of `repository` names the blob.
fn committed(repository: &Repository, digest: &str) -> bool {
    let mut manifests = repository.manifests.values();
    manifests.any(|manifest| blobs(manifest).iter().any(|blob| blob == digest))
}

/// The digests of the config and the layers that a manifest names.
pub(super) fn blobs(manifest: &Manifest) -> Vec<String> {
    let parsed: Value = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
    let layers = parsed["layers"].as_array().cloned().unwrap_or_default();
    let all = [parsed["config"].clone()].into_iter().chain(layers);
    let needed = all.filter(|it| !it["urls"].is_array());
    needed
        .filter_map(|it| it["digest"].as_str().map(str::to_owned))
        .collect()
}
