//! Clients that pull whole images: the index by its tag, all manifests and all blobs.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use anyhow::Context;
use fake_registry::Client;
use futures_util::StreamExt as _;
use futures_util::TryStreamExt as _;
use serde_json::Value;

use super::world::Wanted;

/// How many images are pulled at the same time.
const AT_ONCE: usize = 4;

/// All that real clients take: who does without one of them may be given a converted manifest.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
                      application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, \
                      application/vnd.docker.distribution.manifest.v2+json";

/// A machine that pulls, and keeps what it has: no blob of a repository is pulled twice.
#[derive(Clone)]
pub(super) struct Puller {
    url: String,
    client: Client,
    had: Arc<Mutex<HashSet<String>>>,
}

impl Puller {
    /// From the proxy at `url`, with nothing yet.
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            client: Client::new(),
            had: Arc::default(),
        }
    }

    /// Pulls all of `images`, a few at a time.
    ///
    /// # Errors
    /// When one fails.
    pub(super) async fn pull(&self, images: &[Wanted]) -> anyhow::Result<()> {
        let pulls = images.iter().map(|wanted| self.image(wanted));
        let pulls = futures_util::stream::iter(pulls).buffer_unordered(AT_ONCE);
        pulls.try_collect().await
    }

    async fn image(&self, wanted: &Wanted) -> anyhow::Result<()> {
        let place = format!("{}/v2/{}", self.url, wanted.name);
        let index = self
            .json(&format!("{place}/manifests/{}", wanted.tag))
            .await?;
        for child in digests(&index["manifests"]) {
            let manifest = self.json(&format!("{place}/manifests/{child}")).await?;
            let config = manifest["config"]["digest"].as_str().map(str::to_owned);
            for digest in config.into_iter().chain(digests(&manifest["layers"])) {
                self.blob(&format!("{place}/blobs/{digest}"), &digest)
                    .await?;
            }
        }
        Ok(())
    }

    async fn json(&self, url: &str) -> anyhow::Result<Value> {
        let reply = self.client.get(url).header("accept", ACCEPT).send().await;
        let reply = reply.with_context(|| url.to_owned())?;
        anyhow::ensure!(reply.status == 200, "{url}: {}", reply.status);
        Ok(reply.json().await?)
    }

    fn is_new(&self, url: &str) -> bool {
        let mut had = self.had.lock().unwrap_or_else(PoisonError::into_inner);
        had.insert(url.to_owned())
    }

    async fn blob(&self, url: &str, digest: &str) -> anyhow::Result<()> {
        if self.is_new(url) {
            let reply = self.client.get(url).send().await;
            let reply = reply.with_context(|| url.to_owned())?;
            anyhow::ensure!(reply.status == 200, "{url}: {}", reply.status);
            anyhow::ensure!(reply.digest().await? == digest, "{url}: other bytes");
        }
        Ok(())
    }
}

fn digests(list: &Value) -> Vec<String> {
    let all = list.as_array().into_iter().flatten();
    let all = all.filter_map(|it| it["digest"].as_str());
    all.map(str::to_owned).collect()
}
