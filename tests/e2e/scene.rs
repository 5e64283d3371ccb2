//! A proxy before the private registry, over TLS, and how clients are told of it.

use std::net::TcpListener;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fake_registry::Client;
use fake_registry::DockerRegistry;
use fake_registry::PATIENCE;
use fake_registry::Tidegate;
use serde_json::Value;

use crate::layout::Layout;
use crate::sandbox;
use crate::upstream::Upstream;

/// The image, as clients call it: of Docker Hub, since dockerd asks a mirror for nothing else.
pub(crate) const IMAGE: &str = "docker.io/demo/app:v1";

/// The program under test.
pub(crate) const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// A registry, and a proxy before it.
pub(crate) struct Scene {
    /// The registry.
    pub(crate) upstream: Upstream,
    proxy: Tidegate,
}

impl Scene {
    /// Starts both.
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts both, the proxy with further keys of `[server]`.
    pub(crate) async fn start_with(keys: &str) -> Self {
        let upstream = Upstream::start().await;
        let table = upstream.table("127.0.0.1", &upstream.ca());
        Self::before(upstream, &table, keys).await
    }

    /// Starts both, where the clients sign in to the registry themselves.
    pub(crate) async fn passthrough() -> Self {
        let upstream = Upstream::start().await;
        let table = upstream.table_with("127.0.0.1", &upstream.ca(), "\"passthrough\"");
        Self::before(upstream, &table, "").await
    }

    /// Starts the proxy before `upstream`, with the tables and the keys of `[server]` that are given.
    pub(crate) async fn before(upstream: Upstream, table: &str, keys: &str) -> Self {
        let leaf = upstream.pki().server(&["::1"]);
        let config = format!(
            "[server]\nlisten = {:?}\nadmin = \"127.0.0.1:0\"\n\
             tls = {{ cert = {:?}, key = {:?} }}\n{keys}\n[store]\npath = \"store\"\n\n{table}",
            listen(),
            leaf.cert_file,
            leaf.key_file,
        );
        let proxy = Tidegate::start(TIDEGATE, &config).await;
        Self { upstream, proxy }
    }

    /// Where clients reach the proxy.
    pub(crate) fn url(&self) -> &str {
        self.proxy.url()
    }

    /// Where dockerd verifies the proxy's certificate, which it does not do in 127.0.0.0/8.
    pub(crate) fn verified_url(&self) -> &str {
        self.proxy.urls().last().unwrap()
    }

    /// What the proxy says became of all bytes, once it has nothing to do.
    pub(crate) async fn books(&self) -> Value {
        let (client, url) = (
            Client::new(),
            format!("{}/api/v1/status", self.proxy.admin()),
        );
        let quiet = async {
            loop {
                let status = client.get(&url).send().await.unwrap().json().await.unwrap();
                if status["books"]["open"] == 0 {
                    return status["books"].clone();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let books = tokio::time::timeout(PATIENCE, quiet).await;
        books.expect("something is still under way")
    }

    /// What a client gets that asks the upstream itself.
    pub(crate) fn direct(&self) -> &Layout {
        &self.upstream.direct
    }

    /// The folder with what `tidegate client KIND` writes for clients that reach the proxy at
    /// `url`, as if the folder were `/`.
    pub(crate) async fn recipe(&self, kind: &str, url: &str) -> PathBuf {
        let root = self.proxy.folder().join(kind);
        let mut write = Command::new(TIDEGATE);
        write
            .arg("--config")
            .arg(self.proxy.folder().join("proxy.toml"))
            .args(["client", kind, "--url", url, "--write"])
            .arg("--root")
            .arg(&root);
        sandbox::run(write).await;
        root
    }

    /// Adds our authority to a `hosts.toml`, as its recipe says.
    pub(crate) fn add_ca(&self, hosts_toml: &Path) {
        let mut text = std::fs::read_to_string(hosts_toml).unwrap();
        if !text.contains("\nca = ") {
            text += &format!("ca = {:?}\n", self.upstream.ca());
            std::fs::write(hosts_toml, text).unwrap();
        }
    }

    /// Ends the proxy, as a service manager does; it must take that for a good end.
    pub(crate) async fn stop_proxy(&mut self) {
        let process = self.proxy.process_mut();
        process.terminate();
        let status = process.wait(Duration::from_secs(30)).await;
        assert!(status.success(), "{status}: {}", self.proxy.log());
    }

    /// A `docker-registry` that has the proxy's store as its storage.
    pub(crate) async fn serve_store(&self) -> DockerRegistry {
        let store = self.proxy.folder().join("store");
        DockerRegistry::builder().storage(store).start().await
    }
}

/// Loopback addresses: IPv4, and IPv6 where the machine has it.
fn listen() -> Vec<String> {
    let all = ["127.0.0.1:0", "[::1]:0"];
    let there = all
        .iter()
        .filter(|address| TcpListener::bind(address).is_ok());
    there.map(ToString::to_string).collect()
}
