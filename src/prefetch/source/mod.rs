//! Where a set's tags come from.
//!
//! All sources of a set are asked at the same time, and none waits for another. What one can't tell is
//! told as [`Found::Failed`], and the rest goes on.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::Found;
use super::Judged;
use super::Listed;
use super::Set;
use super::Source;
use super::Verdict;
use super::Wanted;
use crate::flow::PullThrough;
use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Reference;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::store;

mod catalog;
mod dates;
mod openshift;
mod quay;
mod references;
mod repository;
mod stored;

use dates::Dates;
pub use references::Named;
pub use references::named_in;
pub use stored::stored;

/// Who is asked what there is, and what is remembered of the answers from run to run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sources {
    flow: Arc<PullThrough>,
    dates: Dates,
    /// The store that answers in the place of the sources, where nobody else is asked.
    stored: Option<store::Config>,
}

impl Sources {
    /// By asking `flow`.
    pub fn new(flow: Arc<PullThrough>) -> Self {
        Self {
            flow,
            dates: Dates::default(),
            stored: None,
        }
    }

    /// By looking what the store of `flow` has, whose upstreams are not asked.
    pub fn offline(flow: Arc<PullThrough>, store: store::Config) -> Self {
        Self {
            stored: Some(store),
            ..Self::new(flow)
        }
    }
}

/// Tells `out` what the set selects, each image once, and as soon as it is known; of a repository,
/// [`Found::Listed`] first. What it asks is asked as `cause`. It ends when all has been told, or when
/// nobody listens any more; dropping it ends all that it asked.
pub async fn discover(set: &Set, sources: &Sources, cause: FlowId, out: &mpsc::Sender<Found>) {
    run((set, sources, cause), out, None).await;
}

/// As [`discover`], and tells `judged` of each repository whose tags were listed why each of them is
/// wanted or not, in the source's order.
pub async fn explain(
    set: &Set,
    sources: &Sources,
    out: &mpsc::Sender<Found>,
    judged: &mpsc::Sender<Explained>,
) {
    run((set, sources, FlowId::next()), out, Some(judged)).await;
}

/// All tags of a repository, judged.
pub type Explained = (Repository, Vec<Judged>);

async fn run(
    (set, sources, cause): (&Set, &Sources, FlowId),
    out: &mpsc::Sender<Found>,
    judged: Option<&mpsc::Sender<Explained>>,
) {
    let told = Told::default();
    let asked = Asked {
        set,
        sources,
        cause,
        out,
        judged,
        told: &told,
        now: Timestamp::now(),
    };
    tokio::select! {
        () = asked.all() => {}
        () = out.closed() => return,
    }
    let images = told.images();
    if images < set.min_tags {
        let why = format!(
            "it has {images} images now, and min_tags is {}: is something gone that should be \
             there?",
            set.min_tags
        );
        asked.failed(format!("the set {}", set.name), why).await;
    }
}

/// One discovery, as each source sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// What is looked for.
    pub(super) set: &'a Set,
    sources: &'a Sources,
    /// For the ledger: requests of a run are counted by it.
    pub(super) cause: FlowId,
    out: &'a mpsc::Sender<Found>,
    judged: Option<&'a mpsc::Sender<Explained>>,
    told: &'a Told,
    /// When it began: what durations are counted from.
    pub(super) now: Timestamp,
}

/// The images that have been told: sources may overlap.
#[derive(Debug, Default)]
struct Told(Mutex<HashSet<(Repository, Reference, Option<Tag>)>>);

impl<'a> Asked<'a> {
    async fn all(&self) {
        match &self.sources.stored {
            Some(store) => stored::discover(*self, store).await,
            None => drop(join_all(self.set.from.iter().map(|source| self.ask(source))).await),
        }
    }

    async fn ask(&self, source: &Source) {
        match source {
            Source::Repository(repository) => repository::discover(*self, repository).await,
            Source::Image {
                repository,
                reference,
            } => {
                self.image(repository, reference).await;
            }
            Source::Catalog { upstream, pattern } => {
                catalog::discover(*self, upstream, pattern).await;
            }
            Source::Quay { upstream, pattern } => quay::discover(*self, upstream, pattern).await,
            Source::Release(release) => openshift::discover(*self, release).await,
            Source::References(file) => references::discover(*self, file).await,
        }
    }

    /// Who is asked.
    pub(super) fn flow(&self) -> &'a Arc<PullThrough> {
        &self.sources.flow
    }

    /// Tells of an image that is wanted, unless it was told before. `false` where nobody listens any
    /// more.
    pub(super) async fn wanted(&self, wanted: Wanted) -> bool {
        if !self.told.is_new(&wanted) {
            return true;
        }
        self.out.send(Found::Wanted(wanted)).await.is_ok()
    }

    /// Tells of what could not be asked.
    pub(super) async fn failed(&self, what: String, why: String) {
        let _ = self.out.send(Found::Failed { what, why }).await;
    }

    /// Judges all tags of a repository, in whatever order they are, and tells which these are, then of
    /// those that are wanted, with the digests that `listed` has. Dates that are needed and
    /// not in `listed` are asked for.
    pub(super) async fn listed(&self, repository: &Repository, listed: Vec<Listed>) {
        let judged = self.judged(repository, &listed).await;
        if let Some(out) = self.judged {
            let all = judged.iter().map(|(judged, _)| judged.clone());
            let _ = out.send((repository.clone(), all.collect())).await;
        }
        let mut tags: Vec<Tag> = listed.into_iter().map(|it| it.tag).collect();
        tags.sort_unstable();
        let told = Found::Listed {
            repository: repository.clone(),
            tags: tags.into(),
        };
        if self.out.send(told).await.is_err() {
            return;
        }
        let wanted = judged
            .into_iter()
            .filter(|(it, _)| it.verdict == Verdict::In);
        for (judged, digest) in wanted {
            if !self.tag(repository, judged.tag, digest).await {
                return;
            }
        }
    }

    /// Tells that a tag is wanted, with its digest where the source has said it just now. `false`
    /// where nobody listens any more.
    async fn tag(&self, repository: &Repository, tag: Tag, digest: Option<Digest>) -> bool {
        let mut immutable = self.set.immutable.iter();
        self.wanted(Wanted {
            repository: repository.clone(),
            reference: Reference::Tag(tag.clone()),
            immutable: immutable.any(|it| it.fits(tag.as_str())),
            tag: Some(tag),
            digest,
        })
        .await
    }

    /// Tells that a tag, or a digest by itself, is wanted.
    async fn image(&self, repository: &Repository, reference: &Reference) -> bool {
        match reference {
            Reference::Tag(tag) => self.tag(repository, tag.clone(), None).await,
            Reference::Digest(digest) => self.by_digest(repository, digest, None).await,
        }
    }

    /// Tells that a digest is wanted, which may have a tag where it goes to.
    async fn by_digest(&self, repository: &Repository, digest: &Digest, tag: Option<Tag>) -> bool {
        self.wanted(Wanted {
            repository: repository.clone(),
            reference: Reference::Digest(digest.clone()),
            tag,
            digest: Some(digest.clone()),
            immutable: true,
        })
        .await
    }
}

impl Told {
    fn is_new(&self, wanted: &Wanted) -> bool {
        let Wanted {
            repository,
            reference,
            tag,
            ..
        } = wanted;
        let key = (repository.clone(), reference.clone(), tag.clone());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(key)
    }

    fn images(&self) -> u64 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.len().try_into().unwrap_or(u64::MAX)
    }
}

impl From<Tag> for Listed {
    fn from(tag: Tag) -> Self {
        Self {
            tag,
            pushed: None,
            digest: None,
        }
    }
}
