//! The content of a scripted registry: per repository its blobs, manifests and tags.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;

use crate::content::Content;
use crate::digest::digest_of;
use crate::record::lock;

/// A manifest as it was put.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) digest: String,
    pub(crate) media_type: String,
    pub(crate) bytes: Bytes,
}

/// One repository. A blob of another repository doesn't exist here.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    pub(crate) blobs: HashMap<String, Content>,
    /// By digest.
    pub(crate) manifests: BTreeMap<String, Manifest>,
    /// By tag: a digest.
    pub(crate) tags: BTreeMap<String, String>,
}

/// All repositories, by name; and files beside the registry, by path.
#[derive(Debug, Default)]
pub(crate) struct Repositories {
    all: Mutex<HashMap<String, Repository>>,
    files: Mutex<HashMap<String, Content>>,
}

impl Repository {
    /// The manifest with this tag or digest.
    pub(crate) fn manifest(&self, reference: &str) -> Option<&Manifest> {
        let digest = self.tags.get(reference).map_or(reference, String::as_str);
        self.manifests.get(digest)
    }
}

impl Repositories {
    /// Looks into a repository, where it exists.
    pub(crate) fn read<T>(&self, name: &str, look: impl FnOnce(&Repository) -> T) -> Option<T> {
        lock(&self.all).get(name).map(look)
    }

    /// Changes a repository, which is created where it doesn't exist.
    pub(crate) fn write<T>(&self, name: &str, change: impl FnOnce(&mut Repository) -> T) -> T {
        change(lock(&self.all).entry(name.to_owned()).or_default())
    }

    pub(crate) fn put_manifest(
        &self,
        (name, reference): (&str, &str),
        media_type: &str,
        bytes: Bytes,
    ) -> String {
        let digest = digest_of(&bytes);
        let media_type = media_type.to_owned();
        let manifest = Manifest {
            digest: digest.clone(),
            media_type,
            bytes,
        };
        self.write(name, |repository| {
            repository.manifests.insert(digest.clone(), manifest);
            if !reference.contains(':') {
                repository.tags.insert(reference.to_owned(), digest.clone());
            }
        });
        digest
    }

    pub(crate) fn file(&self, path: &str) -> Option<Content> {
        lock(&self.files).get(path).cloned()
    }

    pub(crate) fn put_file(&self, path: &str, content: Content) {
        lock(&self.files).insert(path.to_owned(), content);
    }

    /// The names of all repositories, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = lock(&self.all).keys().cloned().collect();
        names.sort_unstable();
        names
    }
}
