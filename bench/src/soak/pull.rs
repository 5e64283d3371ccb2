//! What clients ask for.

use fake_registry::Client;
use fake_registry::Random;
use fake_registry::digest_of;

use super::Shared;
use super::body::Incoming;
use super::body::Pace;
use super::body::broken;
use super::pick;
use super::tally::Outcome;
use super::tally::Tally;
use super::trouble::is_lie;
use super::world::Blob;
use super::world::Repository;
use super::world::Version;

/// Asks the proxy, and counts how it went.
#[derive(Clone)]
pub(crate) struct Asker {
    pub(crate) client: Client,
    /// The proxy's URL.
    pub(crate) url: String,
    pub(crate) tally: Shared<Tally>,
}

const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

impl Asker {
    /// A whole blob.
    pub(crate) async fn blob(&self, repository: &Repository, blob: &Blob, pace: Pace) -> Outcome {
        let path = format!("{}/blobs/{}", repository.path(), blob.digest);
        let outcome = match self.get(&path, None, pace).await {
            Ok(incoming) => incoming.whole(&blob.digest, blob.content.len()).await,
            Err(outcome) => outcome,
        };
        self.count("whole blob", outcome)
    }

    /// The part of a blob from `start`, up to `end` (excluded), else to the blob's end.
    pub(crate) async fn part(
        &self,
        repository: &Repository,
        blob: &Blob,
        part: (u64, Option<u64>),
    ) -> Outcome {
        let path = format!("{}/blobs/{}", repository.path(), blob.digest);
        let (start, end) = part;
        let range = match end {
            Some(end) => format!("{start}-{}", end - 1),
            None => format!("{start}-"),
        };
        let length = end.unwrap_or(blob.content.len()) - start;
        let outcome = match self.get(&path, Some(&range), Pace::Fast).await {
            Ok(incoming) => incoming.part(&blob.content, start, length).await,
            Err(outcome) => outcome,
        };
        let kind = if end.is_some() {
            "bounded range"
        } else {
            "range to the end"
        };
        self.count(kind, outcome)
    }

    /// A blob as containerd pulls it: open-ended ranges at once, each left after its share.
    pub(crate) async fn parallel(&self, repository: &Repository, blob: &Blob) {
        let size = blob.content.len();
        let share = (size / 4).max(1);
        let one = async |start: u64| {
            let path = format!("{}/blobs/{}", repository.path(), blob.digest);
            let last = start + share >= size;
            let pace = if last {
                Pace::Fast
            } else {
                Pace::Leaves(share)
            };
            let outcome = match self.get(&path, Some(&format!("{start}-")), pace).await {
                Ok(incoming) => incoming.part(&blob.content, start, size - start).await,
                Err(outcome) => outcome,
            };
            self.count("parallel range", outcome);
        };
        let starts = [0, 1, 2, 3]
            .map(|at| at * share)
            .map(|start| start.min(size - 1));
        let [a, b, c, d] = starts;
        tokio::join!(one(a), one(b), one(c), one(d));
    }

    /// A manifest by tag or digest; gives its digest where it came.
    pub(crate) async fn manifest(
        &self,
        repository: &Repository,
        reference: &str,
    ) -> Option<String> {
        let (outcome, digest) = self.get_manifest(repository, reference).await;
        self.count("manifest", outcome);
        digest
    }

    async fn get_manifest(
        &self,
        repository: &Repository,
        reference: &str,
    ) -> (Outcome, Option<String>) {
        let path = format!("{}/manifests/{reference}", repository.path());
        let incoming = match self.get(&path, None, Pace::Fast).await {
            Ok(incoming) => incoming,
            Err(outcome) => return (outcome, None),
        };
        let named = incoming
            .reply
            .header("docker-content-digest")
            .map(str::to_owned);
        let bytes = match incoming.reply.bytes().await {
            Ok(bytes) => bytes,
            Err(error) => return (broken(&self.tally, &path, &error.to_string()).await, None),
        };
        self.tally.received(bytes.len() as u64);
        let digest = digest_of(&bytes);
        if named.as_ref() != Some(&digest) || !is_meant(repository, reference, &digest) {
            self.tally
                .fail(format!("{path} gave {digest}, called {named:?}"));
        }
        (Outcome::Right, Some(digest))
    }

    /// A whole image, its layers three at a time.
    pub(crate) async fn image(&self, repository: &Repository, tag: &str) -> Option<()> {
        let root = self.manifest(repository, tag).await?;
        let version = repository
            .versions
            .iter()
            .find(|it| it.root.digest == root)?;
        for child in &version.children {
            self.manifest(repository, &child.digest).await?;
        }
        for blobs in version.blobs.chunks(3) {
            let pull = |at: usize| async move {
                match blobs.get(at) {
                    Some(blob) => Some(self.blob(repository, blob, Pace::Fast).await),
                    None => None,
                }
            };
            tokio::join!(pull(0), pull(1), pull(2));
        }
        Some(())
    }

    /// `HEAD` of a blob or a manifest, whose length is known.
    pub(crate) async fn head(
        &self,
        repository: &Repository,
        version: &Version,
        random: &mut Random,
    ) {
        let blob = &version.blobs[pick(random, version.blobs.len())];
        let (path, size) = match pick(random, 2) {
            0 => (format!("manifests/{}", version.root.digest), None),
            _ => (format!("blobs/{}", blob.digest), Some(blob.content.len())),
        };
        let url = format!("{}/v2/{}/{path}", self.url, repository.path());
        let outcome = match self.client.head(&url).header("accept", ACCEPT).send().await {
            Err(error) => broken(&self.tally, &url, &error.to_string()).await,
            Ok(reply) if reply.status == 200 => {
                let length = reply.content_length();
                match (length, size) {
                    (Some(length), Some(size)) if is_lie(length, size) => {
                        // Of a blob on its way, the upstream's word is all there is.
                        self.tally
                            .happened("an upstream's wrong length in a HEAD", 1);
                    }
                    (Some(length), Some(size)) if length != size => self
                        .tally
                        .fail(format!("HEAD {path} said {length} bytes, there are {size}")),
                    (Some(_), _) => {}
                    (None, _) => self.tally.fail(format!("HEAD {path} said no length")),
                }
                Outcome::Right
            }
            Ok(reply) => self.incoming(reply, path, Pace::Fast).refused().await,
        };
        self.count("HEAD", outcome);
    }

    /// The list of tags: all of them, or those that are stored while the upstream is out.
    pub(crate) async fn tags(&self, repository: &Repository) {
        let path = format!("{}/tags/list", repository.path());
        let outcome = match self.get(&path, None, Pace::Fast).await {
            Err(outcome) => outcome,
            Ok(incoming) => match incoming.reply.json().await {
                Err(error) => broken(&self.tally, &path, &error.to_string()).await,
                Ok(list) => {
                    let known = |tag: &str| tag == "latest" || tag.starts_with('v');
                    let tags = list["tags"].as_array().filter(|tags| !tags.is_empty());
                    if !tags
                        .is_some_and(|tags| tags.iter().all(|tag| tag.as_str().is_some_and(known)))
                    {
                        self.tally.fail(format!("{path} gave {list}"));
                    }
                    Outcome::Right
                }
            },
        };
        self.count("list", outcome);
    }

    async fn get(
        &self,
        path: &str,
        range: Option<&str>,
        pace: Pace,
    ) -> Result<Incoming<'_>, Outcome> {
        let mut request = self.client.get(format!("{}/v2/{path}", self.url));
        request = request.header("accept", ACCEPT);
        if let Some(range) = range {
            request = request.range(range);
        }
        let what = format!("{path} [{}]", range.unwrap_or("all"));
        let expected = if range.is_some() { 206 } else { 200 };
        match request.send().await {
            Err(error) => Err(broken(&self.tally, &what, &error.to_string()).await),
            Ok(reply) => {
                let incoming = self.incoming(reply, what, pace);
                if incoming.reply.status == expected {
                    Ok(incoming)
                } else {
                    Err(incoming.refused().await)
                }
            }
        }
    }

    fn incoming(&self, reply: fake_registry::Reply, what: String, pace: Pace) -> Incoming<'_> {
        Incoming {
            reply,
            tally: &self.tally,
            what,
            pace,
        }
    }

    fn count(&self, kind: &'static str, outcome: Outcome) -> Outcome {
        self.tally.ended(kind, outcome);
        outcome
    }
}

/// Whether `reference` may give `digest`.
fn is_meant(repository: &Repository, reference: &str, digest: &str) -> bool {
    match reference
        .strip_prefix('v')
        .and_then(|number| number.parse::<usize>().ok())
    {
        Some(number) => repository.versions[number].root.digest == digest,
        None if reference == "latest" => repository.was_latest(digest),
        None => reference == digest,
    }
}
