//! A scripted registry on loopback that takes pushes: what it holds, what was uploaded and mounted,
//! and (by [`Server`]) what it was asked and what goes wrong.

mod builder;
mod manifest;
mod mount;
mod project;
mod route;
mod session;
mod tally;
mod upload;

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use http::Method;
use http::StatusCode;

use crate::content::Content;
use crate::record::lock;
use crate::server::Server;
use crate::server::answer::Answer;
use crate::server::answer::Ask;
use crate::server::answer::Handler;
use crate::server::intake::Intake;
use crate::target::builder::Rules;
use crate::target::route::Route;
use crate::target::session::Sessions;
use crate::upstream::API_VERSION;
use crate::upstream::auth::Auth;
use crate::upstream::lists;
use crate::upstream::pull;
use crate::upstream::repositories::Repositories;
use crate::upstream::repositories::Repository;
use crate::upstream::route::Route as Pull;

pub use builder::Mounts;
pub use builder::TargetBuilder;
pub use session::Mount;
pub use session::Upload;
pub use tally::Tally;

/// A scripted registry that takes pushes as the distribution spec has them ("Push"), and gives back
/// what it took. It stops when it is dropped; [`Server::stop`] and [`Server::restart`] let it be
/// down for a while, with all its content.
pub struct Target {
    server: Server,
    registry: Arc<Registry>,
}

/// What connections share.
struct Registry {
    repositories: Repositories,
    sessions: Sessions,
    auth: Mutex<Auth>,
    rules: Mutex<Rules>,
    projects: Mutex<HashSet<String>>,
}

impl Target {
    /// A registry in plain HTTP, open to all, that mounts whatever is there and takes no sparse
    /// index, unless the builder is told more.
    pub fn builder() -> TargetBuilder {
        TargetBuilder::new()
    }

    /// A registry as [`Target::builder`] has it.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Whether `repository` holds the blob or manifest `digest`.
    pub fn holds(&self, repository: &str, digest: &str) -> bool {
        self.look(repository, |it| {
            it.blobs.contains_key(digest) || it.manifests.contains_key(digest)
        })
        .unwrap_or_default()
    }

    /// The digest that a tag names.
    pub fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        self.look(repository, |it| it.tags.get(tag).cloned())
            .flatten()
    }

    /// A manifest, by tag or by digest: media type and bytes.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<(String, Bytes)> {
        let find = |it: &Repository| {
            let manifest = it.manifest(reference)?;
            Some((manifest.media_type.clone(), manifest.bytes.clone()))
        };
        self.look(repository, find).flatten()
    }

    /// A blob's bytes, where they are kept in memory.
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Bytes> {
        let content = self.look(repository, |it| it.blobs.get(digest).cloned());
        match content.flatten()? {
            Content::Memory(bytes) => Some(bytes),
            Content::Generated(_) => None,
        }
    }

    /// The repositories that exist, in order.
    pub fn repositories(&self) -> Vec<String> {
        self.registry.repositories.names()
    }

    /// The uploads that were completed, in order.
    pub fn uploads(&self) -> Vec<Upload> {
        self.registry.sessions.uploads()
    }

    /// The mounts that were asked for, in order; refused ones too.
    pub fn mounts(&self) -> Vec<Mount> {
        self.registry.sessions.mounts()
    }

    /// How many blobs were uploaded again that the registry, in any of its repositories, had taken
    /// before.
    pub fn uploaded_twice(&self) -> usize {
        let uploads = self.uploads();
        let unique: HashSet<&str> = uploads.iter().map(|it| it.digest.as_str()).collect();
        uploads.len() - unique.len()
    }

    /// How many upload sessions are begun and not ended.
    pub fn open_sessions(&self) -> usize {
        self.registry.sessions.open()
    }

    /// The requests until now, by what they are.
    pub fn requests(&self) -> Tally {
        Tally::of(&self.log())
    }

    /// Forgets all upload sessions that are begun: what comes for them gets 404.
    pub fn lose_sessions(&self) {
        self.registry.sessions.lose();
    }

    /// Removes a blob from one repository, as a garbage collection does.
    pub fn forget_blob(&self, repository: &str, digest: &str) {
        self.change(repository, |it| drop(it.blobs.remove(digest)));
    }

    /// Removes a blob from all repositories.
    pub fn collect_garbage(&self, digest: &str) {
        for repository in self.repositories() {
            self.forget_blob(&repository, digest);
        }
    }

    /// Removes a manifest, and all tags that name it.
    pub fn forget_manifest(&self, repository: &str, digest: &str) {
        self.change(repository, |it| {
            it.manifests.remove(digest);
            it.tags.retain(|_, tagged| tagged != digest);
        });
    }

    /// Puts a blob, as if it had been pushed by somebody else; gives its digest. No upload counts.
    pub fn put_blob(&self, repository: &str, bytes: impl Into<Bytes>) -> String {
        let content = Content::Memory(bytes.into());
        let digest = content.digest();
        self.change(repository, |it| {
            it.blobs.insert(digest.clone(), content);
        });
        digest
    }

    /// Puts a manifest, by tag or by digest, as if it had been pushed by somebody else and without
    /// any check; gives its digest.
    pub fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> String {
        let place = (repository, reference);
        let all = &self.registry.repositories;
        all.put_manifest(place, media_type, bytes.into())
    }

    /// Lets a repository exist, with nothing in it.
    pub fn create(&self, repository: &str) {
        self.change(repository, |_| ());
    }

    /// From now on, which mounts are granted.
    pub fn set_mounts(&self, mounts: Mounts) {
        lock(&self.registry.rules).mounts = mounts;
    }

    /// From now on, whether an index is taken whose manifests are not there.
    pub fn set_sparse(&self, sparse: bool) {
        lock(&self.registry.rules).sparse = sparse;
    }

    fn look<T>(&self, repository: &str, look: impl FnOnce(&Repository) -> T) -> Option<T> {
        self.registry.repositories.read(repository, look)
    }

    fn change(&self, repository: &str, change: impl FnOnce(&mut Repository)) {
        self.registry.repositories.write(repository, change);
    }
}

impl Deref for Target {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Registry {
    fn rules(&self) -> Rules {
        lock(&self.rules).clone()
    }

    fn admitted(&self, route: &Route<'_>, ask: &Ask) -> Answer {
        if let Some(refusal) = self.unknown(route, ask) {
            return refusal;
        }
        match *route {
            Route::Uploads(name) if ask.method == Method::POST => self.begin(name, ask),
            Route::Session(id) => self.session(id, ask),
            Route::Projects(rest) => self.project(rest, ask),
            Route::Pull(Pull::Manifest(name, reference)) if ask.method == Method::PUT => {
                self.put(name, reference, ask)
            }
            Route::Pull(pull) if ask.method == Method::DELETE => self.delete(pull),
            Route::Pull(pull) if [Method::GET, Method::HEAD].contains(&ask.method) => {
                self.give(pull, ask)
            }
            Route::Uploads(_) | Route::Pull(_) => {
                let code = StatusCode::METHOD_NOT_ALLOWED;
                Answer::error(code, "UNSUPPORTED", "the operation is unsupported")
            }
        }
    }

    fn give(&self, pull: Pull<'_>, ask: &Ask) -> Answer {
        let all = &self.repositories;
        match pull {
            Pull::Ping => Answer::json(StatusCode::OK, &serde_json::json!({})),
            Pull::Catalog => lists::catalog(all, ask),
            Pull::Manifest(name, reference) => pull::manifest(all, (name, reference), ask, false),
            Pull::Blob(name, digest) => {
                let answer = pull::blob(all, name, digest, ask);
                let only_hashed = matches!(answer.content, Content::Generated(_));
                if only_hashed && ask.method == Method::GET {
                    let status = StatusCode::INTERNAL_SERVER_ERROR;
                    return Answer::error(status, "UNKNOWN", "this target keeps no blobs");
                }
                answer
            }
            Pull::Tags(name) => lists::tags(all, name, ask),
            Pull::Referrers(name, digest) if self.rules().referrers => {
                lists::referrers(all, name, digest, ask)
            }
            Pull::Referrers(..) | Pull::Other => {
                Answer::error(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "no such page")
            }
        }
    }

    /// Distribution spec, "Deleting tags" and on.
    fn delete(&self, pull: Pull<'_>) -> Answer {
        let (name, gone) = match pull {
            Pull::Manifest(name, reference) => {
                let gone = self.repositories.write(name, |it| {
                    let tag = it.tags.remove(reference).is_some();
                    it.tags.retain(|_, digest| digest != reference);
                    it.manifests.remove(reference).is_some() || tag
                });
                (name, gone)
            }
            Pull::Blob(name, digest) => {
                let gone = |it: &mut Repository| it.blobs.remove(digest).is_some();
                (name, self.repositories.write(name, gone))
            }
            _ => ("", false),
        };
        if gone {
            return Answer::empty(StatusCode::ACCEPTED);
        }
        pull::unknown_name(name)
    }
}

impl Handler for Registry {
    fn answer(&self, ask: &Ask) -> Answer {
        let route = Route::of(&ask.path);
        let name = match route {
            Route::Session(id) => self.sessions.repository(id).unwrap_or_default(),
            _ => String::new(),
        };
        let wanted = route.scopes(&name, ask);
        let scopes: Vec<_> = wanted.iter().map(route::Wanted::scope).collect();
        let refusal = lock(&self.auth).refuse(&ask.headers, &scopes);
        let answer = refusal.unwrap_or_else(|| self.admitted(&route, ask));
        answer.with(API_VERSION, "registry/2.0")
    }

    fn intake(&self, ask: &Ask) -> Intake {
        match Route::of(&ask.path) {
            Route::Session(id) => self.sessions.intake(id).unwrap_or_default(),
            Route::Uploads(_) => self.rules().intake(),
            Route::Pull(_) | Route::Projects(_) => Intake::default(),
        }
    }
}
