//! Where everything is: CNCF Distribution's layout, and beside it a folder of our own that no
//! registry looks into.

use std::path::Path;
use std::path::PathBuf;

use super::Error;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::Tag;

/// The name of a blob's file within its own folder.
pub(super) const DATA: &str = "data";

/// The folders of one store.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: PathBuf,
    v2: PathBuf,
}

/// The folders of one repository.
#[derive(Clone, Debug)]
pub(super) struct RepositoryFolder(PathBuf);

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            v2: root.join("docker/registry/v2"),
        }
    }

    /// The layout of a store that exists.
    pub(super) fn existing(root: &Path) -> Result<Self, Error> {
        let layout = Self::new(root);
        if layout.v2.is_dir() {
            Ok(layout)
        } else {
            Err(Error::NoStore {
                path: root.to_path_buf(),
            })
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Held locked by the process that serves.
    pub(super) fn lock(&self) -> PathBuf {
        self.root.join("tidegate/lock")
    }

    /// Files and folders that are not published yet, or not any more.
    pub(super) fn tmp(&self) -> PathBuf {
        self.root.join("tidegate/tmp")
    }

    /// Where a store that keeps nothing has its files.
    pub(super) fn spool(&self) -> PathBuf {
        self.root.join("tidegate/spool")
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.v2.join("blobs")
    }

    pub(super) fn repositories(&self) -> PathBuf {
        self.v2.join("repositories")
    }

    /// The blob's own folder: nothing but its file is in it.
    pub(super) fn blob_folder(&self, digest: &Digest) -> PathBuf {
        let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
        self.blobs().join(algorithm).join(&hex[..2]).join(hex)
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blob_folder(digest).join(DATA)
    }

    pub(super) fn repository(&self, repository: &Repository) -> RepositoryFolder {
        let upstream = repository.upstream.path_component();
        RepositoryFolder(
            self.repositories()
                .join(upstream)
                .join(repository.name.as_str()),
        )
    }
}

impl RepositoryFolder {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn manifests(&self) -> PathBuf {
        self.0.join("_manifests")
    }

    pub(super) fn layers(&self) -> PathBuf {
        self.0.join("_layers")
    }

    pub(super) fn revisions(&self) -> PathBuf {
        self.0.join("_manifests/revisions")
    }

    pub(super) fn tags(&self) -> PathBuf {
        self.0.join("_manifests/tags")
    }

    /// The folder of the link that lets this repository open a blob.
    pub(super) fn layer(&self, digest: &Digest) -> PathBuf {
        under(self.layers(), digest)
    }

    /// The folder of the link that lets this repository open a manifest.
    pub(super) fn revision(&self, digest: &Digest) -> PathBuf {
        under(self.revisions(), digest)
    }

    pub(super) fn tag(&self, tag: &Tag) -> TagFolder {
        TagFolder::at(self.tags().join(tag.as_str()))
    }
}

/// The folder of one tag.
#[derive(Clone, Debug)]
pub(super) struct TagFolder(PathBuf);

impl TagFolder {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The link to what the tag points to; its mtime says when that was last confirmed.
    pub(super) fn current(&self) -> PathBuf {
        self.0.join("current/link")
    }

    /// All that the tag ever pointed to.
    pub(super) fn index(&self) -> PathBuf {
        self.0.join("index")
    }

    /// The folder of the link to something that the tag pointed to.
    pub(super) fn past(&self, digest: &Digest) -> PathBuf {
        under(self.index(), digest)
    }
}

fn under(folder: PathBuf, digest: &Digest) -> PathBuf {
    folder.join(digest.algorithm().as_str()).join(digest.hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_all_where_distribution_does() {
        let layout = Layout::new(Path::new("/s"));
        let digest = Digest::of(b"abc");
        let hex = digest.hex();
        assert_eq!(
            layout.blob(&digest),
            PathBuf::from(format!("/s/docker/registry/v2/blobs/sha256/ba/{hex}/data"))
        );
        let repository = Repository::new(
            "localhost:5000".parse().unwrap(),
            "library/nginx".parse().unwrap(),
        );
        let folder = layout.repository(&repository);
        let base = "/s/docker/registry/v2/repositories/localhost_5000/library/nginx";
        let tag = folder.tag(&"1.27".parse().unwrap());
        for (path, expected) in [
            (folder.layer(&digest), format!("_layers/sha256/{hex}")),
            (
                folder.revision(&digest),
                format!("_manifests/revisions/sha256/{hex}"),
            ),
            (tag.current(), "_manifests/tags/1.27/current/link".into()),
            (
                tag.past(&digest),
                format!("_manifests/tags/1.27/index/sha256/{hex}"),
            ),
        ] {
            assert_eq!(path, Path::new(base).join(expected));
        }
    }
}
