//! The embedded store on real files, held against a real registry that serves its folder.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use tidegate::oci::Digest;
use tidegate::oci::Repository;
use tidegate::oci::media;
use tidegate::store::Blob;
use tidegate::store::Config;
use tidegate::store::Error;
use tidegate::store::Lookup;
use tidegate::store::Store;
use tidegate::store::Writer;

mod altered;
mod books;
mod crash;
mod eviction;
mod garbage;
mod glance;
mod inspection;
mod isolation;
mod layout;
mod removal;
mod verification;
mod writing;

/// A store in a folder that ends with the test.
struct Fixture {
    config: Config,
    store: Arc<Store>,
    folder: TempDir,
}

impl Fixture {
    async fn new(max_size: Option<u64>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            path: folder.path().join("store"),
            max_size,
        };
        let store = Store::open(config.clone()).await.unwrap();
        store.indexed().await;
        Self {
            config,
            store,
            folder,
        }
    }

    /// Ends the serving side, so that the folder is nobody's.
    fn close(self) -> (Config, TempDir) {
        (self.config, self.folder)
    }

    async fn reopen(self) -> Self {
        let (config, folder) = self.close();
        let store = Store::open(config.clone()).await.unwrap();
        store.indexed().await;
        Self {
            config,
            store,
            folder,
        }
    }

    /// Commits `content` as a blob of `repository`.
    async fn put(&self, repository: &Repository, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let writer = self.write(content).await;
        let repositories = std::slice::from_ref(repository);
        writer.commit(&digest, repositories).await.unwrap();
        digest
    }

    /// A writer that has all of `content`.
    async fn write(&self, content: &[u8]) -> Writer {
        let writer = self.store.writer(Some(content.len() as u64)).await.unwrap();
        writer.file().write_all_at(content, 0).unwrap();
        writer
    }

    /// Stores an image of these blobs under a tag.
    async fn image(&self, repository: &Repository, tag: &str, layers: &[&[u8]]) -> Digest {
        let config = self.put(repository, b"{}").await;
        let mut entries = Vec::new();
        for layer in layers {
            let digest = self.put(repository, layer).await;
            entries.push(descriptor("application/octet-stream", &digest, layer.len()));
        }
        let config = descriptor("application/vnd.oci.image.config.v1+json", &config, 2);
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{config},"layers":[{}]}}"#,
            media::OCI_MANIFEST,
            entries.join(",")
        );
        self.manifest(repository, tag, media::OCI_MANIFEST, manifest)
            .await
    }

    async fn manifest(
        &self,
        repository: &Repository,
        tag: &str,
        media_type: &str,
        manifest: String,
    ) -> Digest {
        let digest = Digest::of(manifest.as_bytes());
        let bytes = Bytes::from(manifest);
        let store = &self.store;
        store
            .put_manifest(repository, &digest, media_type, bytes)
            .await
            .unwrap();
        store
            .put_tag(repository, &tag.parse().unwrap(), &digest)
            .await
            .unwrap();
        digest
    }

    fn v2(&self) -> PathBuf {
        v2(&self.config)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        blob_path(&self.config, digest)
    }
}

fn v2(config: &Config) -> PathBuf {
    config.path.join("docker/registry/v2")
}

fn blob_path(config: &Config, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    v2(config).join(format!("blobs/sha256/{}/{hex}/data", &hex[..2]))
}

fn descriptor(media_type: &str, digest: &Digest, size: usize) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

fn repository(name: &str) -> Repository {
    let (upstream, name) = name.split_once('/').unwrap();
    Repository::new(upstream.parse().unwrap(), name.parse().unwrap())
}

/// All that can be read through a blob.
fn content(blob: &Blob) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(blob.size).unwrap()];
    blob.file.read_exact_at(&mut content, 0).unwrap();
    content
}

/// The files and folders in `<path>/tidegate/tmp`.
fn leftovers(config: &Config) -> usize {
    let tmp = config.path.join("tidegate/tmp");
    std::fs::read_dir(tmp).unwrap().count()
}

fn is_locked(result: Result<Arc<Store>, Error>) -> bool {
    matches!(result, Err(Error::Locked { .. }))
}
