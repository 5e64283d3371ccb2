//! How a scripted target is set up.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;

use tokio_rustls::TlsAcceptor;

use crate::pki::Pki;
use crate::port::ReservedPort;
use crate::server::Server;
use crate::server::intake::Intake;
use crate::target::Registry;
use crate::target::Target;
use crate::target::session::Sessions;
use crate::token::TokenServer;
use crate::upstream::auth::Auth;
use crate::upstream::repositories::Repositories;

/// Which mounts are granted. One that isn't begins an upload (202).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounts {
    /// Of any blob that the source repository holds, as `registry:2` does.
    Any,
    /// Only of blobs that a manifest of the source repository names, as ECR does.
    Committed,
    /// None.
    Never,
}

/// What a target allows.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) mounts: Mounts,
    pub(super) sparse: bool,
    pub(super) referrers: bool,
    pub(super) existing_only: bool,
    pub(super) projects: bool,
    pub(super) patch: bool,
    /// Bytes that a PUT may bring.
    pub(super) put_limit: Option<u64>,
    /// Bytes that a PATCH may bring.
    pub(super) patch_limit: Option<u64>,
    /// `OCI-Chunk-Min-Length`, in bytes.
    pub(super) chunk_min: Option<u64>,
    pub(super) relative: bool,
    pub(super) elsewhere: bool,
    pub(super) only_hash: bool,
}

impl Rules {
    /// What an upload's bytes are added to.
    pub(super) fn intake(&self) -> Intake {
        if self.only_hash {
            return Intake::only_hashed();
        }
        Intake::default()
    }
}

/// A target that doesn't run yet.
pub struct TargetBuilder {
    auth: Auth,
    tls: Option<TlsAcceptor>,
    narrow: bool,
    rules: Rules,
}

impl TargetBuilder {
    pub(super) fn new() -> Self {
        Self {
            auth: Auth::Open,
            tls: None,
            narrow: false,
            rules: Rules {
                mounts: Mounts::Any,
                sparse: false,
                referrers: true,
                existing_only: false,
                projects: false,
                patch: true,
                put_limit: None,
                patch_limit: None,
                chunk_min: None,
                relative: false,
                elsewhere: false,
                only_hash: false,
            },
        }
    }

    /// Over TLS with ALPN `h2` and `http/1.1`, with a certificate for 127.0.0.1 and localhost.
    pub fn tls(self, pki: &Pki) -> Self {
        self.tls_with(pki, &["h2", "http/1.1"])
    }

    /// Over TLS with these protocols in ALPN; none: no ALPN at all.
    pub fn tls_with(mut self, pki: &Pki, alpn: &[&str]) -> Self {
        self.tls = Some(Arc::new(pki.server(&[]).server_config(alpn)).into());
        self
    }

    /// Lets nobody in without `user` and `password`, by `Basic`.
    pub fn basic(mut self, user: &str, password: &str) -> Self {
        self.auth = Auth::Basic(HashMap::from([(user.to_owned(), password.to_owned())]));
        self
    }

    /// Lets nobody in without a token of `tokens`. A push needs `pull,push`, a mount also `pull`
    /// for the repository that it comes from.
    pub fn bearer(mut self, tokens: &TokenServer) -> Self {
        self.auth = Auth::Bearer(tokens.issuer(), tokens.realm());
        self
    }

    /// Which mounts are granted.
    pub fn mounts(mut self, mounts: Mounts) -> Self {
        self.rules.mounts = mounts;
        self
    }

    /// Takes an index whose manifests are not there.
    pub fn sparse(mut self) -> Self {
        self.rules.sparse = true;
        self
    }

    /// Knows nothing of referrers: no `OCI-Subject`, and 404 for their API.
    pub fn without_referrers(mut self) -> Self {
        self.rules.referrers = false;
        self
    }

    /// Pushes go only where a repository is made beforehand ([`Target::create`]): else 404
    /// NAME_UNKNOWN, as ECR has it.
    pub fn existing_only(mut self) -> Self {
        self.rules.existing_only = true;
        self
    }

    /// Pushes go only where the name's first component is a project, made by
    /// `POST /api/v2.0/projects`, as Harbor has it: else 404 NAME_UNKNOWN.
    pub fn projects(mut self) -> Self {
        self.rules.projects = true;
        self
    }

    /// Refuses PATCH: 405 UNSUPPORTED.
    pub fn without_patch(mut self) -> Self {
        self.rules.patch = false;
        self
    }

    /// Takes no more than so many bytes in a PUT: else 413.
    pub fn put_limit(mut self, bytes: u64) -> Self {
        self.rules.put_limit = Some(bytes);
        self
    }

    /// Takes no more than so many bytes in a PATCH: else 413.
    pub fn patch_limit(mut self, bytes: u64) -> Self {
        self.rules.patch_limit = Some(bytes);
        self
    }

    /// Says `OCI-Chunk-Min-Length`, and refuses a chunk (416) that follows a shorter one.
    pub fn chunk_min(mut self, bytes: u64) -> Self {
        self.rules.chunk_min = Some(bytes);
        self
    }

    /// Says a `Location` without scheme and host.
    pub fn relative_locations(mut self) -> Self {
        self.rules.relative = true;
        self
    }

    /// Has its upload sessions at `/upload-sessions/<id>`.
    pub fn uploads_elsewhere(mut self) -> Self {
        self.rules.elsewhere = true;
        self
    }

    /// Hashes blobs, and doesn't keep them: a GET of one gets a 500.
    pub fn only_hash(mut self) -> Self {
        self.rules.only_hash = true;
        self
    }

    /// Takes connections with small receive buffers, so that what it doesn't read
    /// ([`crate::Fault::take_slowly`]) stays with the client.
    pub fn narrow(mut self) -> Self {
        self.narrow = true;
        self
    }

    /// Starts answering, on a port of its own.
    pub async fn start(self) -> Target {
        let registry = Arc::new(Registry {
            repositories: Repositories::default(),
            sessions: Sessions::default(),
            auth: Mutex::new(self.auth),
            rules: Mutex::new(self.rules),
            projects: Mutex::new(HashSet::new()),
        });
        let mut port = ReservedPort::new();
        if self.narrow {
            port.narrow();
        }
        let server = Server::start(port, self.tls, registry.clone());
        Target { server, registry }
    }
}
