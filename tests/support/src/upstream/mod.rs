//! A scripted OCI registry on loopback: what it holds, whom it lets in, and (by [`Server`]) what
//! it was asked and what goes wrong.

pub(crate) mod auth;
mod builder;
pub(crate) mod lists;
pub(crate) mod pull;
mod quay;
mod range;
pub(crate) mod repositories;
pub(crate) mod route;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderName;
use http::Method;
use http::StatusCode;

use crate::content::Content;
use crate::record::lock;
use crate::server::Server;
use crate::server::answer::Answer;
use crate::server::answer::Ask;
use crate::server::answer::Handler;
use crate::upstream::auth::Auth;
use crate::upstream::auth::Scope;
use crate::upstream::repositories::Repositories;
use crate::upstream::route::Route;

pub use builder::UpstreamBuilder;
pub use quay::Quay;

const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
pub(crate) const API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");

/// A scripted registry. It answers pulls as CNCF Distribution does; it takes no pushes: content is
/// put by the methods here. It stops when it is dropped.
pub struct Upstream {
    server: Server,
    registry: Arc<Registry>,
}

/// What connections share.
struct Registry {
    repositories: Repositories,
    auth: Mutex<Auth>,
    strict_accept: bool,
    referrers: bool,
    quay: Option<Quay>,
}

impl Upstream {
    /// A registry in plain HTTP, open to all, unless the builder is told more.
    pub fn builder() -> UpstreamBuilder {
        UpstreamBuilder::new()
    }

    /// A registry in plain HTTP, open to all.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Puts a manifest, by tag (which moves, where it exists) or by digest; gives its digest.
    pub fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> String {
        let place = (repository, reference);
        self.registry
            .repositories
            .put_manifest(place, media_type, bytes.into())
    }

    /// Puts a blob; gives its digest.
    pub fn put_blob(&self, repository: &str, bytes: impl Into<Bytes>) -> String {
        self.put_content(repository, Content::Memory(bytes.into()))
    }

    /// Puts a blob of `size` pseudo-random bytes, which take no memory; gives its digest.
    pub fn put_generated_blob(&self, repository: &str, size: u64, seed: u64) -> String {
        self.put_content(repository, Content::generated(size, seed))
    }

    /// Puts a blob; gives its digest.
    pub fn put_content(&self, repository: &str, content: Content) -> String {
        let digest = content.digest();
        self.put_blob_as(repository, &digest, content);
        digest
    }

    /// Puts a blob under a digest that need not be its own.
    pub fn put_blob_as(&self, repository: &str, digest: &str, content: Content) {
        self.registry.repositories.write(repository, |repository| {
            repository.blobs.insert(digest.to_owned(), content);
        });
    }

    /// Puts a file at any other path (from its slash on), as a CDN has it; served with ranges and
    /// without authentication.
    pub fn put_file(&self, path: &str, content: Content) {
        self.registry.repositories.put_file(path, content);
    }

    /// Lets `tag` be the manifest `digest`, which the repository must have.
    ///
    /// # Panics
    /// Where it has no such manifest.
    pub fn move_tag(&self, repository: &str, tag: &str, digest: &str) {
        self.registry.repositories.write(repository, |repository| {
            assert!(
                repository.manifests.contains_key(digest),
                "no manifest {digest} to tag {tag}"
            );
            repository.tags.insert(tag.to_owned(), digest.to_owned());
        });
    }

    /// Removes a tag; its manifest stays, by digest.
    pub fn delete_tag(&self, repository: &str, tag: &str) {
        self.registry
            .repositories
            .write(repository, |repository| repository.tags.remove(tag));
    }

    /// Removes a manifest, and all tags that name it.
    pub fn remove_manifest(&self, repository: &str, digest: &str) {
        self.registry.repositories.write(repository, |repository| {
            repository.manifests.remove(digest);
            repository.tags.retain(|_, tagged| tagged != digest);
        });
    }

    /// Removes a blob from this repository.
    pub fn remove_blob(&self, repository: &str, digest: &str) {
        self.registry
            .repositories
            .write(repository, |repository| repository.blobs.remove(digest));
    }

    /// The digest that a tag names now.
    pub fn digest_of_tag(&self, repository: &str, tag: &str) -> Option<String> {
        let look = |it: &repositories::Repository| it.tags.get(tag).cloned();
        self.registry.repositories.read(repository, look).flatten()
    }
}

impl Deref for Upstream {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Handler for Registry {
    fn answer(&self, ask: &Ask) -> Answer {
        let all = &self.repositories;
        let route = Route::of(&ask.path);
        if let Some(quay) = &self.quay
            && ask.path.starts_with("/api/v1/")
        {
            return quay.answer(ask, now());
        }
        if route == Route::Other {
            return match all.file(&ask.path) {
                Some(content) => pull::ranged(content, ask),
                None => Answer::error(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "no such page"),
            };
        }
        let wanted: Vec<Scope<'_>> = route.repository().map(Scope::pull).into_iter().collect();
        if let Some(refusal) = lock(&self.auth).refuse(&ask.headers, &wanted) {
            return refusal.with(API_VERSION, "registry/2.0");
        }
        if ask.method != Method::GET && ask.method != Method::HEAD {
            let code = StatusCode::METHOD_NOT_ALLOWED;
            return Answer::error(code, "UNSUPPORTED", "the operation is unsupported");
        }
        let answer = match route {
            Route::Ping => Answer::json(StatusCode::OK, &serde_json::json!({})),
            Route::Catalog => lists::catalog(all, ask),
            Route::Manifest(name, reference) => {
                pull::manifest(all, (name, reference), ask, self.strict_accept)
            }
            Route::Blob(name, digest) => pull::blob(all, name, digest, ask),
            Route::Tags(name) => lists::tags(all, name, ask),
            Route::Referrers(name, digest) if self.referrers => {
                lists::referrers(all, name, digest, ask)
            }
            Route::Referrers(..) | Route::Other => {
                Answer::error(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "no such page")
            }
        };
        answer.with(API_VERSION, "registry/2.0")
    }
}

/// In seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed();
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}
