//! One errand: a manifest, and all that it names, to one target.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::future::join_all;
use tokio::sync::OnceCell;

use super::Cause;
use super::Errand;
use super::Error;
use super::Mirrored;
use super::Missing;
use super::Pace;
use super::Supply;
use super::agenda::Entry;
use super::claims::Claim;
use super::claims::Claimant;
use super::lock;
use super::node::Node;
use super::part::Part;
use super::planner::Planner;
use super::remote::Remote;
use super::verdict;
use crate::oci::Digest;
use crate::oci::Name;
use crate::registry;
use crate::registry::Registry;

/// An errand under way. Dropping it leaves nothing claimed.
pub(super) struct Work {
    pub(super) remote: Arc<Remote>,
    pub(super) supply: Arc<dyn Supply>,
    /// The target's registry, at this errand's pace.
    pub(super) registry: Arc<Registry>,
    /// As it was when it began. Its tag may move meanwhile.
    pub(super) errand: Errand,
    pub(super) id: u64,
    /// The repository at the target.
    pub(super) name: Name,
    /// Whether an earlier process may have put there what nobody took note of.
    pub(super) resumed: bool,
    /// How much of an index is wanted.
    pub(super) part: Part,
    /// Whether somebody other than a client wishes it.
    is_ours: bool,
    /// For the manifest itself, and for what else an index names.
    paces: (Pace, Pace),
    /// Older errands have lower ones.
    number: AtomicU64,
    nodes: Mutex<HashMap<Digest, Arc<Node>>>,
    blobs: Mutex<HashMap<Digest, Arc<OnceCell<()>>>>,
    /// What the election left to this errand to upload, and to hold until its end.
    claims: Mutex<HashMap<Digest, Claim>>,
    held: Mutex<Vec<Claim>>,
    pub(super) tally: Mutex<Mirrored>,
    /// Something went wrong: nothing else begins.
    failed: AtomicBool,
}

/// How deep indexes may name each other, and how much they may name: beyond, it is no image.
const DEEPEST: usize = 4;
const MOST_MANIFESTS: usize = 2000;
const MOST_BYTES: usize = 64 << 20;

impl Work {
    pub(super) fn new(
        remote: Arc<Remote>,
        supply: Arc<dyn Supply>,
        (id, entry): (u64, Entry),
    ) -> Result<Self, Error> {
        let name = remote.config.place.of(&entry.errand.repository);
        // Who asks for more than what clients pull wants all of it as soon.
        let below = match entry.durable {
            true => Pace::Background,
            false => entry.pace,
        };
        let registry = match entry.pace {
            Pace::Client => remote.registry.clone(),
            Pace::Background => remote.background.clone(),
        };
        Ok(Self {
            remote,
            registry,
            supply,
            id,
            name: name.map_err(Error::Place)?,
            resumed: entry.resumed,
            part: entry.part,
            is_ours: !entry.durable,
            paces: (entry.pace, below),
            errand: entry.errand,
            number: AtomicU64::new(u64::MAX),
            nodes: Mutex::default(),
            blobs: Mutex::default(),
            claims: Mutex::default(),
            held: Mutex::default(),
            tally: Mutex::default(),
            failed: AtomicBool::new(false),
        })
    }

    /// Does it.
    ///
    /// # Errors
    /// The first thing that went wrong. Uploads that were under way have ended.
    pub(super) async fn run(self, planner: &Planner) -> Result<Mirrored, Error> {
        let standing = self.remote.standing(&self.name, &self.errand, &self.part);
        if let Some(standing) = standing
            && (standing.fresh || self.confirmed(&standing).await?)
        {
            let digest_put = (standing.digest != self.errand.digest).then_some(standing.digest);
            return Ok(Mirrored {
                digest_put,
                ..Mirrored::default()
            });
        }
        let wants = self.wants().await?;
        let plan = planner.plan(&self.name, wants).await?;
        self.number.store(plan.number, Ordering::Relaxed);
        *lock(&self.claims) = plan.claims;
        // What others wait for goes on whatever becomes of the rest.
        let elected: Vec<_> = lock(&self.claims).keys().cloned().collect();
        let uploads = elected.iter().map(|digest| self.blob(digest));
        let (root, uploads) = tokio::join!(self.root(), join_all(uploads));
        worst(uploads.into_iter().chain([root]))?;
        let tally = lock(&self.tally).clone();
        Ok(tally)
    }

    /// The manifest `digest`, which the errand names; asked for once.
    pub(super) async fn node(&self, digest: &Digest) -> Result<Arc<Node>, Error> {
        if let Some(node) = lock(&self.nodes).get(digest) {
            return Ok(node.clone());
        }
        let pace = match *digest == self.errand.digest {
            true => self.paces.0,
            false => self.paces.1,
        };
        let cause = self.cause(pace);
        let manifest = self.supply.manifest(&self.errand.repository, digest, cause);
        let mut node = Node::new(digest.clone(), manifest.await?, pace);
        if *digest == self.errand.digest {
            self.part.cut(&mut node)?;
        }
        let node = Arc::new(node);
        lock(&self.nodes).insert(digest.clone(), node.clone());
        let nodes = lock(&self.nodes);
        let bytes: usize = nodes.values().map(|node| node.manifest.bytes.len()).sum();
        if bytes > MOST_BYTES || nodes.len() > MOST_MANIFESTS {
            let text = "it names too many manifests to be mirrored";
            return Err(Missing::Gone(text.to_owned()).into());
        }
        Ok(node)
    }

    /// Reads all manifests that may have to be put: the blobs that they name, with their lengths.
    async fn wants(&self) -> Result<BTreeMap<Digest, u64>, Error> {
        let mut wants = BTreeMap::new();
        let mut level = vec![self.errand.digest.clone()];
        for _ in 0..DEEPEST {
            let nodes = join_all(level.iter().map(|digest| self.node(digest))).await;
            level.clear();
            for node in nodes {
                let node = node?;
                wants.extend(node.blobs.iter().cloned());
                if self.wants_children(&node) {
                    let children = node
                        .children
                        .iter()
                        .filter(|child| !self.has_manifest(child));
                    level.extend(children.cloned());
                }
            }
            level.sort_unstable();
            level.dedup();
            if level.is_empty() {
                return Ok(wants);
            }
        }
        let text = "its indexes name each other too deeply to be mirrored";
        Err(Missing::Gone(text.to_owned()).into())
    }

    /// Has the manifest `digest` of an index there, by its digest, with all that it names.
    pub(super) fn make<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            if self.has_manifest(digest) {
                return Ok(());
            }
            let node = self.node(digest).await?;
            if self.confirmed_child(&node).await? {
                return Ok(());
            }
            self.fill(&node).await?;
            self.put_child(&node).await
        }
        .boxed()
    }

    /// Has all there that `node` names.
    pub(super) async fn fill(&self, node: &Node) -> Result<(), Error> {
        let blobs = join_all(node.blobs.iter().map(|(digest, _)| self.blob(digest)));
        let children = join_all(node.children.iter().map(|child| self.make(child)));
        let (blobs, children) = tokio::join!(blobs, children);
        worst(blobs.into_iter().chain(children))
    }

    /// Has the blob `digest` there, once however many manifests name it.
    pub(super) async fn blob(&self, digest: &Digest) -> Result<(), Error> {
        let cell = lock(&self.blobs).entry(digest.clone()).or_default().clone();
        let bring = || async {
            if self.failed.load(Ordering::Relaxed) {
                return Err(Error::GivenUp("another part of the image failed"));
            }
            self.remote.check_goes_on()?;
            let claim = lock(&self.claims).remove(digest);
            let brought = self.bring(digest, claim).await;
            if brought.is_err() {
                self.failed.store(true, Ordering::Relaxed);
            }
            self.remote.counts.blob(brought?, &mut lock(&self.tally));
            Ok(())
        };
        cell.get_or_try_init(bring).await.map(|_| ())
    }

    /// `digest` has to be brought again, for it is not there.
    pub(super) fn forget_blob(&self, digest: &Digest) {
        lock(&self.blobs).remove(digest);
    }

    /// Holds a claim until the errand's end.
    pub(super) fn hold(&self, claim: Claim) {
        lock(&self.held).push(claim);
    }

    pub(super) fn claimant(&self) -> Claimant<'_> {
        Claimant {
            name: &self.name,
            number: self.number.load(Ordering::Relaxed),
            mounts: self.remote.mounting.now(),
        }
    }

    /// Whether somebody other than a client wishes it.
    pub(super) fn is_ours(&self) -> bool {
        self.is_ours
    }

    pub(super) fn cause(&self, pace: Pace) -> Cause {
        Cause {
            flow: self.errand.flow,
            pace,
            ours: self.is_ours,
        }
    }

    /// How much of a hurry `digest` is in: that of the manifests that name it.
    pub(super) fn pace(&self, digest: &Digest) -> Pace {
        let nodes = lock(&self.nodes);
        let hurried = nodes.values().any(|node| {
            node.pace == Pace::Client && node.blobs.iter().any(|(blob, _)| blob == digest)
        });
        match hurried {
            true => Pace::Client,
            false => Pace::Background,
        }
    }

    /// What the target said of `what`.
    pub(super) fn refusal(&self, what: &str, error: registry::Error) -> Error {
        Error::Registry {
            what: format!("{}: {what}", self.name),
            advice: verdict::advice(&error).to_owned(),
            error,
        }
    }
}

/// The first failure, but one that only follows from another.
fn worst(outcomes: impl Iterator<Item = Result<(), Error>>) -> Result<(), Error> {
    let mut first = Ok(());
    for outcome in outcomes {
        if matches!(first, Ok(()) | Err(Error::GivenUp(_))) && outcome.is_err() {
            first = outcome;
        }
    }
    first
}
