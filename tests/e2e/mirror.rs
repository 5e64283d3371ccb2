//! A real registry that is a target of the proxy, over TLS.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use fake_registry::Access;
use fake_registry::DockerRegistry;
use fake_registry::Pki;

/// How long what is mirrored may take to arrive, on a machine with much else to do.
pub(crate) const ARRIVAL: Duration = Duration::from_secs(180);

/// How the proxy's `User-Agent` begins.
const AGENT: &str = "tidegate/";

/// A target.
pub(crate) struct Mirror {
    pub(crate) registry: DockerRegistry,
    name: String,
    /// What it answered before it was last stopped, which its log does not tell any more.
    before: Vec<Access>,
}

impl Mirror {
    /// Starts it, with nothing in it.
    pub(crate) async fn start(name: &str, pki: &Pki) -> Self {
        let registry = DockerRegistry::builder().tls(pki, &[]);
        Self {
            registry: registry.start().await,
            name: name.to_owned(),
            before: Vec::new(),
        }
    }

    /// The repository that `name` of the upstream is mirrored into.
    pub(crate) fn place(upstream: &str, name: &str) -> String {
        format!("mirror/{upstream}/{name}")
    }

    /// Its `[[target]]` table, with `more` keys.
    pub(crate) fn table(&self, ca: &Path, more: &str) -> String {
        format!(
            "[[target]]\nname = {:?}\nurl = {:?}\nca = {ca:?}\ncredentials = \"anonymous\"\n\
             repository = \"mirror/{{upstream}}/{{repository}}\"\n{more}\n\n",
            self.name,
            self.registry.url(),
        )
    }

    /// Stops it. Its port refuses connections from then on.
    pub(crate) fn stop(&mut self) {
        self.before.extend(self.registry.access());
        self.registry.stop();
    }

    /// Starts it again, with what it had.
    pub(crate) async fn start_again(&mut self) {
        self.registry.restart().await;
    }

    /// What the proxy has asked of it.
    pub(crate) fn asked(&self) -> Asked {
        let mut log = self.before.clone();
        log.extend(self.registry.access());
        log.retain(|access| access.user_agent.starts_with(AGENT));
        Asked(log)
    }

    /// The same, once it has logged as many manifests as it must have got.
    pub(crate) async fn asked_with(&self, manifests: usize) -> Asked {
        self.registry
            .wait_for(|_| self.asked().manifests() >= manifests)
            .await;
        self.asked()
    }
}

/// Requests of the proxy.
#[derive(Clone, Debug)]
pub(crate) struct Asked(Vec<Access>);

impl Asked {
    /// The digests that were uploaded; one that was uploaded twice, twice.
    pub(crate) fn uploads(&self) -> Vec<String> {
        let done = |it: &&Access| is_upload(it) && it.method == "PUT" && it.status == 201;
        let done = self.0.iter().filter(done);
        done.filter_map(|it| digest(&it.query)).collect()
    }

    /// How many mounts were granted.
    pub(crate) fn mounts(&self) -> usize {
        self.count(|it| it.method == "POST" && it.query.contains("mount=") && it.status == 201)
    }

    /// How many manifests were taken.
    pub(crate) fn manifests(&self) -> usize {
        self.count(|it| it.method == "PUT" && it.path.contains("/manifests/") && it.status == 201)
    }

    /// How many HEADs there were.
    pub(crate) fn heads(&self) -> usize {
        self.count(|it| it.method == "HEAD")
    }

    /// All requests.
    pub(crate) fn total(&self) -> usize {
        self.0.len()
    }

    /// # Panics
    /// Where a blob was uploaded twice.
    pub(crate) fn assert_each_uploaded_once(&self) {
        let uploads = self.uploads();
        let unique: BTreeSet<&String> = uploads.iter().collect();
        assert_eq!(uploads.len(), unique.len(), "{}", self.lines());
    }

    /// # Panics
    /// Where anything was asked beyond the least possible for these blobs, manifests and mounts, and
    /// 2 % of it.
    pub(crate) fn assert_least(&self, (blobs, manifests, mounts): (usize, usize, usize)) {
        self.assert_each_uploaded_once();
        let found = (self.uploads().len(), self.manifests(), self.mounts());
        assert_eq!(found, (blobs, manifests, mounts), "{}", self.lines());
        assert_eq!(self.heads(), 0, "{}", self.lines());
        let least = 2 * blobs + manifests + mounts;
        assert!(
            self.total() <= least + least / 50,
            "{} requests where {least} would do:\n{}",
            self.total(),
            self.lines()
        );
    }

    fn count(&self, wanted: impl Fn(&&Access) -> bool) -> usize {
        self.0.iter().filter(wanted).count()
    }

    /// The requests, with as much of their queries as tells what they are.
    fn lines(&self) -> String {
        let line = |it: &Access| {
            let mut query = it.query.split('&');
            let mount = query
                .find(|it| it.starts_with("mount="))
                .unwrap_or_default();
            let digest = digest(&it.query).unwrap_or_default();
            format!("{} {} {mount}{digest} {}\n", it.method, it.path, it.status)
        };
        self.0.iter().map(line).collect()
    }
}

fn is_upload(access: &Access) -> bool {
    access.path.contains("/blobs/uploads/")
}

/// The digest in a query, decoded.
fn digest(query: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|it| it.split_once('='));
    let (_, digest) = pairs.find(|(key, _)| *key == "digest")?;
    Some(digest.replace("%3A", ":").replace("%3a", ":"))
}
