//! A client for a scripted registry, with limits that fit a test.

use std::time::Duration;

use fake_registry::Upstream;
use tidegate::ledger::Fate;
use tidegate::ledger::FlowId;
use tidegate::ledger::Ledger;
use tidegate::ledger::Leg;
use tidegate::oci::Name;
use tidegate::oci::Reference;
use tidegate::oci::media::OCI_MANIFEST;
use tidegate::registry::Config;
use tidegate::registry::Credentials;
use tidegate::registry::Error;
use tidegate::registry::FetchedBlob;
use tidegate::registry::Registry;
use tidegate::registry::Retries;
use tidegate::registry::Secret;
use tidegate::registry::Timeouts;

use crate::journal;

/// The repository of most tests.
pub(crate) const REPOSITORY: &str = "team/app";
/// A manifest's bytes: the client does not look into them.
pub(crate) const MANIFEST: &[u8] = br#"{"schemaVersion":2}"#;

/// Patient timeouts, short pauses, three attempts.
pub(crate) fn config(url: &str) -> Config {
    Config {
        name: "registry.test".parse().unwrap(),
        url: url.parse().unwrap(),
        leg: Leg::Upstream,
        fallback: Vec::new(),
        credentials: Credentials::Anonymous,
        ca: None,
        plain_http: url.starts_with("http:"),
        allow_private: false,
        max_concurrent: None,
        parallel_ranges: None,
        rate: None,
        bandwidth: None,
        timeouts: Timeouts {
            connect: Duration::from_secs(10),
            header: Duration::from_secs(10),
            idle_body: Duration::from_secs(10),
        },
        retries: Retries {
            attempts: 3,
            base: Duration::from_millis(1),
            cap: Duration::from_secs(2),
        },
    }
}

pub(crate) fn open(config: Config) -> Registry {
    journal::begin();
    Registry::new(config, Ledger::new()).unwrap()
}

/// A registry that nobody needs to sign in to, with one tag, and a client for it.
pub(crate) async fn pair() -> (Upstream, Registry) {
    let upstream = Upstream::start().await;
    put(&upstream);
    let registry = open(config(&upstream.url()));
    (upstream, registry)
}

/// What was logged of `host` with these words.
pub(crate) fn logged(host: &str, words: &str) -> Vec<String> {
    journal::lines_with(&[host, words])
}

/// Puts the tag that `head` and `get` ask for.
pub(crate) fn put(upstream: &Upstream) -> String {
    upstream.put_manifest(REPOSITORY, "latest", OCI_MANIFEST, MANIFEST)
}

pub(crate) fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic {
        username: username.into(),
        password: Secret::new(password),
    }
}

pub(crate) fn name() -> Name {
    REPOSITORY.parse().unwrap()
}

pub(crate) fn latest() -> Reference {
    "latest".parse().unwrap()
}

/// `HEAD` of the tag.
pub(crate) async fn head(registry: &Registry) -> Result<(), Error> {
    let (name, latest) = (name(), latest());
    registry
        .manifest_head(FlowId::next(), &name, &latest, OCI_MANIFEST)
        .await
        .map(drop)
}

/// `GET` of the tag.
pub(crate) async fn get(registry: &Registry) -> Result<(), Error> {
    let (name, latest) = (name(), latest());
    registry
        .manifest_get(FlowId::next(), &name, &latest, OCI_MANIFEST)
        .await
        .map(drop)
}

/// `GET` of a blob.
pub(crate) async fn blob(registry: &Registry, digest: &str) -> Result<FetchedBlob, Error> {
    let digest = digest.parse().unwrap();
    registry
        .blob_get(FlowId::next(), &name(), &digest, None)
        .await
}

/// All bytes of a body, or what broke it.
pub(crate) async fn read(mut blob: FetchedBlob) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while let Some(bytes) = blob.body.chunk().await {
        let bytes = bytes?;
        let account = blob.body.account();
        account.enter(Fate::Passed, bytes.len() as u64);
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}
