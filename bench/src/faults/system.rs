//! The two systems under test: how each is configured, where it keeps a blob, how it is killed.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;

use fake_registry::DockerRegistry;
use fake_registry::Tidegate;
use futures_util::FutureExt as _;

/// Which system.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Distribution's registry as a mirror.
    Distribution,
    /// The path of the binary.
    Tidegate(PathBuf),
}

/// A running system, with a store of its own. A drop ends it and removes its folder.
#[derive(Debug)]
pub(super) enum System {
    Distribution(Box<DockerRegistry>),
    Tidegate(Box<Tidegate>),
}

impl Kind {
    /// For the progress.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Distribution => "docker-registry",
            Self::Tidegate(_) => "tidegate",
        }
    }

    /// Starts it with an empty store as a mirror of `upstream`, and waits until it serves.
    ///
    /// # Errors
    /// When it does not come up.
    pub(super) async fn start(&self, upstream: &str) -> anyhow::Result<System> {
        // The guards panic where a program does not come up, which is a result here.
        let started = async {
            match self {
                Self::Distribution => {
                    let mirror = DockerRegistry::builder().mirror_of(upstream);
                    System::Distribution(Box::new(mirror.start().await))
                }
                Self::Tidegate(binary) => {
                    let configuration = configuration(upstream);
                    let tidegate = Tidegate::start(binary, &configuration);
                    System::Tidegate(Box::new(tidegate.await))
                }
            }
        };
        let started = AssertUnwindSafe(started).catch_unwind().await;
        started.map_err(|panic| {
            let why = panic.downcast_ref::<String>().map_or("", String::as_str);
            anyhow::anyhow!("it does not start: {why}")
        })
    }
}

impl System {
    /// `http://127.0.0.1:<port>`.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Distribution(registry) => registry.url(),
            Self::Tidegate(tidegate) => tidegate.url().to_owned(),
        }
    }

    /// Kills it (SIGKILL) and starts it again over its store.
    pub(super) async fn crash(&mut self) {
        match self {
            Self::Distribution(registry) => registry.restart().await,
            Self::Tidegate(tidegate) => tidegate.restart().await,
        }
    }

    /// The folder of its store.
    pub(super) fn store(&self) -> PathBuf {
        match self {
            Self::Distribution(registry) => registry.storage(),
            Self::Tidegate(tidegate) => tidegate.folder().join("store"),
        }
    }

    /// The file of a stored blob: both keep it in Distribution's layout.
    pub(super) fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        let blobs = self.store().join("docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }
}

/// As it is by default, but for a tag that is asked about each time, as docker-registry does, and
/// waits of 5 s that this run need not take minutes for.
fn configuration(upstream: &str) -> String {
    format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        admin = "127.0.0.1:0"
        [store]
        path = "store"
        [defaults]
        tag_ttl = "0s"
        [[upstream]]
        name = "docker.io"
        url = "{upstream}"
        plain_http = true
        default = true
        credentials = "anonymous"
        connect_timeout = "5s"
        header_timeout = "5s"
        idle_timeout = "5s"
        "#
    )
}
