//! A scripted upstream, a system before it, and a client.

use std::time::Duration;

use fake_registry::Client;
use fake_registry::Content;
use fake_registry::Ended;
use fake_registry::Fault;
use fake_registry::Recorded;
use fake_registry::RequestBuilder;
use fake_registry::Upstream;
use fake_registry::When;

use super::saw::Bytes;
use super::saw::Saw;
use super::system::Kind;
use super::system::System;

/// The size of the blob that is pulled, in bytes.
pub(super) const SIZE: u64 = 16 << 20;
/// The repository that it is in.
pub(super) const REPOSITORY: &str = "demo/app";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// How long nothing may happen at the upstream before a system is taken to be done.
const QUIET: Duration = Duration::from_millis(500);
/// How long to wait for that.
const SETTLING: Duration = Duration::from_secs(30);

/// All that a fault needs.
pub(super) struct Scene {
    pub(super) up: Upstream,
    pub(super) system: System,
    pub(super) client: Client,
    /// The blob.
    pub(super) content: Content,
    pub(super) digest: String,
    /// The manifest that names it, tagged `v1`.
    pub(super) manifest: Content,
}

impl Scene {
    /// With an empty store.
    pub(super) async fn new(kind: &Kind) -> anyhow::Result<Self> {
        let up = Upstream::start().await;
        let system = kind.start(&up.url()).await?;
        let (content, digest, manifest) = furnish(&up);
        up.clear_log();
        let client = Client::builder().fresh_connections().build();
        Ok(Self {
            up,
            system,
            client,
            content,
            digest,
            manifest,
        })
    }

    /// A request for the blob.
    pub(super) fn blob(&self) -> RequestBuilder {
        self.client.get(self.url(&format!("blobs/{}", self.digest)))
    }

    /// Where something of the repository is.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/v2/{REPOSITORY}/{path}", self.system.url())
    }

    /// Pulls the blob.
    pub(super) async fn pull(&self) -> Saw {
        Saw::of(self.blob(), &self.content).await
    }

    /// Asks for the tag.
    pub(super) async fn pull_tag(&self) -> Saw {
        let request = self.client.get(self.url("manifests/v1"));
        Saw::of(request.header("accept", MANIFEST), &self.manifest).await
    }

    /// Pulls all there is, until the upstream is not asked for the blob any more.
    pub(super) async fn store(&self) -> anyhow::Result<()> {
        for _ in 0..5 {
            self.pull_tag().await;
            self.up.clear_log();
            let saw = self.pull().await;
            anyhow::ensure!(saw == Saw::Whole, "a plain pull brought {saw}");
            self.settle().await;
            if self.up.gets_of(&self.digest).is_empty() {
                self.up.clear_log();
                return Ok(());
            }
        }
        anyhow::bail!("after five pulls it is still not stored")
    }

    /// Commits a fault on every GET of the blob.
    pub(super) fn spoil(&self, fault: Fault) {
        self.up.fault(When::get(&self.digest), fault);
    }

    /// Waits until nothing has happened at the upstream for a while.
    pub(super) async fn settle(&self) {
        let deadline = tokio::time::Instant::now() + SETTLING;
        loop {
            let before = self.up.log().len();
            tokio::time::sleep(QUIET).await;
            let log = self.up.log();
            let is_quiet = log.len() == before && log.iter().all(|r| r.ended != Ended::Open);
            if is_quiet || tokio::time::Instant::now() > deadline {
                return;
            }
        }
    }

    /// What the upstream was asked, and what it sent, since the log was cleared. Without `GET
    /// /v2/`, which costs nothing.
    pub(super) fn asked(&self) -> String {
        let log: Vec<Recorded> = self.up.log();
        let log: Vec<_> = log.iter().filter(|r| r.path != "/v2/").collect();
        let count = |method: &str| log.iter().filter(|r| r.method.as_str() == method).count();
        let (heads, gets) = (count("HEAD"), count("GET"));
        if heads + gets == 0 {
            return "nothing".to_owned();
        }
        let sent = log.iter().map(|r| r.body_bytes_sent).sum();
        let plural = |number: usize, what: &str| match number {
            0 => None,
            1 => Some(format!("1 {what}")),
            many => Some(format!("{many} {what}s")),
        };
        let parts = [plural(heads, "HEAD"), plural(gets, "GET")];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        format!("{}, {} sent", parts.join(", "), Bytes(sent))
    }
}

/// Puts the image.
fn furnish(up: &Upstream) -> (Content, String, Content) {
    let content = Content::generated(SIZE, 1);
    let digest = up.put_content(REPOSITORY, content.clone());
    let config = up.put_blob(REPOSITORY, "{}");
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config,
            "size": 2,
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": digest,
            "size": SIZE,
        }],
    });
    let manifest = manifest.to_string();
    up.put_manifest(REPOSITORY, "v1", MANIFEST, manifest.clone());
    (
        content,
        digest,
        Content::Memory(manifest.into_bytes().into()),
    )
}
