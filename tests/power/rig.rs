//! The built proxy in front of one scripted upstream, `up.test`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::time::Duration;
use std::time::Instant;

use fake_registry::Client;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::PATIENCE;
use fake_registry::Reply;
use fake_registry::Tidegate;
use fake_registry::Upstream;
use tempfile::TempDir;
use tidegate::oci::media;

/// A MiB, in bytes.
pub(crate) const MIB: u64 = 1 << 20;
/// The repository that all is pulled from.
pub(crate) const APP: &str = "demo/app";

pub(crate) const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// A proxy whose folder stays while it is stopped and started.
pub(crate) struct Rig {
    pub(crate) up: Upstream,
    pub(crate) client: Client,
    pub(crate) proxy: Tidegate,
    setup: Setup,
    folder: TempDir,
}

/// How the proxy is started.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// As in `[store]`.
    pub(crate) max_size: String,
    /// As in `[defaults]`.
    pub(crate) tag_ttl: String,
    /// Runs `"$@"` in the end, which is the proxy; in the proxy's folder.
    pub(crate) wrapper: String,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            max_size: "unlimited".to_owned(),
            tag_ttl: "1h".to_owned(),
            wrapper: r#"exec "$@""#.to_owned(),
        }
    }
}

impl Setup {
    pub(crate) fn wrapped(wrapper: &str) -> Self {
        Self {
            wrapper: wrapper.to_owned(),
            ..Self::default()
        }
    }
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let up = Upstream::start().await;
        let folder = tempfile::tempdir().unwrap();
        let proxy = serve(&setup, &up, folder.path()).await;
        let client = Client::builder().fresh_connections().build();
        Self {
            up,
            client,
            proxy,
            setup,
            folder,
        }
    }

    /// Ends the proxy (SIGTERM).
    pub(crate) async fn stop(&mut self) {
        let process = self.proxy.process_mut();
        process.terminate();
        process.wait(PATIENCE).await;
    }

    /// Starts it again, after it ended.
    pub(crate) async fn begin(&mut self) {
        self.proxy = serve(&self.setup, &self.up, self.folder.path()).await;
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.begin().await;
    }

    /// The store's folder.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// A file or folder as the proxy sees it, which may have mounts of its own.
    pub(crate) fn inside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.proxy.process().pid()));
        root.join(path.strip_prefix("/").unwrap())
    }

    /// The file of a stored blob.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let (_, hex) = digest.split_once(':').unwrap();
        let blobs = self.store().join("docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// A file of the repository [`APP`].
    pub(crate) fn of_app(&self, path: &str) -> PathBuf {
        let repositories = self.store().join("docker/registry/v2/repositories");
        repositories.join("up.test").join(APP).join(path)
    }

    /// The files that are not published.
    pub(crate) fn leftovers(&self) -> usize {
        let tmp = self.inside(&self.store().join("tidegate/tmp"));
        std::fs::read_dir(tmp).map_or(0, Iterator::count)
    }

    pub(crate) fn url(&self, what: &str) -> String {
        format!("{}/v2/{APP}/{what}", self.proxy.url())
    }

    pub(crate) async fn get(&self, what: &str) -> Reply {
        self.client.get(self.url(what)).send().await.unwrap()
    }

    /// Pulls a blob, which must be right. Returns the `X-Cache`.
    pub(crate) async fn pull(&self, digest: &str) -> String {
        let reply = self.get(&format!("blobs/{digest}")).await;
        assert_eq!(reply.status.as_u16(), 200);
        let cache = cache(&reply);
        let got = reply.digest().await.unwrap_or_else(|error| {
            panic!("{error}\n{}", self.proxy.log());
        });
        assert_eq!(got, digest);
        cache
    }

    /// Pulls a manifest by tag or digest, which must be `digest`. Returns the `X-Cache`.
    pub(crate) async fn pull_manifest(&self, reference: &str, digest: &str) -> String {
        let reply = self.get_manifest(reference).await;
        assert_eq!(reply.status.as_u16(), 200, "{}", self.proxy.log());
        let cache = cache(&reply);
        assert_eq!(reply.digest().await.unwrap(), digest);
        cache
    }

    /// As a client asks that can read all types.
    pub(crate) async fn get_manifest(&self, reference: &str) -> Reply {
        let request = self.client.get(self.url(&format!("manifests/{reference}")));
        let request = request.header("accept", media::ACCEPT_NATIVE);
        request.send().await.unwrap()
    }

    /// Pulls all of an image.
    pub(crate) async fn pull_image(&self, tag: &str, image: &Image) {
        self.pull_manifest(tag, image.digest()).await;
        for blob in &image.blobs {
            self.pull(&blob.digest).await;
        }
    }

    /// Puts an image at the upstream; another seed, other blobs.
    pub(crate) fn put_image(&self, tag: &str, seed: u64) -> Image {
        let image = ImageBuilder::new(seed).build();
        image.push_to(&self.up, APP, tag);
        image
    }

    /// Waits until nothing is being filled: clients have all of a blob a moment before it is stored.
    pub(crate) async fn settled(&self) {
        let begun = Instant::now();
        while self.status().await["fills"] != 0 {
            assert!(begun.elapsed() < PATIENCE, "{}", self.proxy.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until a blob is stored.
    pub(crate) async fn stored(&self, digest: &str) {
        self.settled().await;
        let file = self.inside(&self.blob(digest));
        assert!(file.exists(), "{}", self.proxy.log());
    }

    /// `/api/v1/status`.
    pub(crate) async fn status(&self) -> serde_json::Value {
        let url = format!("{}/api/v1/status", self.proxy.admin());
        self.client
            .get(url)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    /// Pulls a blob until it is stored.
    pub(crate) async fn store_blob(&self, size: u64, seed: u64) -> String {
        let digest = self.up.put_generated_blob(APP, size, seed);
        self.pull(&digest).await;
        self.stored(&digest).await;
        digest
    }

    /// Waits until `/readyz` has this status, and returns what it says.
    pub(crate) async fn ready(&self, status: u16) -> String {
        let begun = Instant::now();
        loop {
            let url = format!("{}/readyz", self.proxy.admin());
            let reply = self.client.get(url).send().await.unwrap();
            let got = reply.status.as_u16();
            let said = reply.text().await.unwrap();
            if got == status {
                return said;
            }
            assert!(begun.elapsed() < PATIENCE, "still {got}: {said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the log has this.
    pub(crate) async fn logged(&self, text: &str) {
        let begun = Instant::now();
        while !self.proxy.log().contains(text) {
            assert!(
                begun.elapsed() < PATIENCE,
                "no '{text}' in\n{}",
                self.proxy.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Runs `tidegate store <arguments>` beside the proxy.
    pub(crate) fn offline(&self, arguments: &str) -> Output {
        let mut command = Command::new(TIDEGATE);
        let command = command.arg("store").args(arguments.split_whitespace());
        command.current_dir(self.folder.path()).output().unwrap()
    }

    /// What `tidegate store <arguments> --json` says.
    pub(crate) fn offline_json(&self, arguments: &str) -> serde_json::Value {
        let out = self.offline(&format!("{arguments} --json"));
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{said}"))
    }
}

async fn serve(setup: &Setup, up: &Upstream, folder: &Path) -> Tidegate {
    let config = format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        admin = "127.0.0.1:0"
        drain_timeout = "5s"
        [store]
        path = "store"
        max_size = "{}"
        [defaults]
        tag_ttl = "{}"
        [[upstream]]
        name = "up.test"
        url = "{}"
        plain_http = true
        default = true
        "#,
        setup.max_size,
        setup.tag_ttl,
        up.url()
    );
    let program = folder.join("program");
    let script = format!("#!/bin/sh\nset -- {TIDEGATE} \"$@\"\n{}\n", setup.wrapper);
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let builder = Tidegate::builder(&program, &config).folder(folder);
    builder.start().await
}

pub(crate) fn cache(reply: &Reply) -> String {
    reply.header("x-cache").unwrap_or_default().to_owned()
}

impl Rig {
    /// Runs `mount <arguments>` as the proxy sees its disks, in the proxy's folder.
    pub(crate) async fn mount(&mut self, arguments: &str) {
        self.enter(&format!("mount {arguments}")).await;
    }

    /// Runs `umount <arguments>` in the same way.
    pub(crate) async fn unmount(&mut self, arguments: &str) {
        self.enter(&format!("umount {arguments}")).await;
    }

    async fn enter(&mut self, command: &str) {
        let pid = self.proxy.process().pid();
        let folder = self.folder.path().display();
        let script = format!("cd {folder} && {command}");
        let begun = Instant::now();
        loop {
            let mut enter = Command::new("nsenter");
            let enter = enter.args(["--target", &pid.to_string(), "--mount", "sh", "-c", &script]);
            let out = enter.output().unwrap();
            if out.status.success() {
                return;
            }
            // As long as a file is open for writing, a disk can't be made read-only.
            let said = String::from_utf8_lossy(&out.stderr);
            assert!(begun.elapsed() < PATIENCE, "{command}: {said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
