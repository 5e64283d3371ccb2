//! What is copied into a registry, by the engine of targets.

use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::Error;
use super::Reference;
use super::plan::Plan;
use crate::ledger::Fate;
use crate::ledger::FlowId;
use crate::ledger::Ledger;
use crate::ledger::Reason;
use crate::oci;
use crate::oci::NameFilter;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::registry;
use crate::registry::Registry;
use crate::target;
use crate::target::Catalog;
use crate::target::Complete;
use crate::target::Errand;
use crate::target::Mirrored;
use crate::target::Pace;
use crate::target::Place;
use crate::target::State;
use crate::target::Supply;
use crate::target::Targets;
use crate::target::Wish;

/// A registry that is copied into.
#[derive(Debug)]
pub(super) struct Pusher {
    targets: Arc<Targets>,
    name: Arc<str>,
    repository: Repository,
    registry: Registry,
    catalog: Catalog,
    flow: FlowId,
}

/// What a target has of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Survey {
    /// The image, as it is wanted.
    Done,
    /// Nothing: there is no such repository.
    New,
    /// It was asked for each blob.
    Known,
}

/// How many questions are put to a target at once.
const AT_ONCE: usize = 16;

/// What a copy into a registry needs.
#[derive(Debug)]
pub(super) struct Into<'a> {
    pub(super) at: &'a Reference,
    pub(super) registry: registry::Config,
    /// Whether it may be given an index whose manifests are not all wanted.
    pub(super) is_part: bool,
    /// Where what is known of it is kept meanwhile.
    pub(super) folder: &'a Path,
    pub(super) ledger: &'a Ledger,
    pub(super) flow: FlowId,
}

/// How long what is there is believed to be there: no copy takes as long.
const CATALOG_TTL: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);

impl Pusher {
    /// Begins. `from` is a repository of the same registry that has all blobs of `plan`, where there
    /// is one: they are mounted from there.
    pub(super) async fn begin(
        into: Into<'_>,
        supply: Arc<dyn Supply>,
        from: Option<(&oci::Name, &Plan)>,
    ) -> Result<Self, Error> {
        let name: Arc<str> = into.registry.name.as_str().into();
        let state = into.folder.join("targets.redb");
        let state = tokio::task::spawn_blocking(move || State::open(&state));
        let state = state
            .await
            .map_err(|error| Error::Usage(error.to_string()))?;
        let state = state.map_err(|error| Error::Target(error.into()))?;
        if let Some((from, plan)) = from {
            let catalog = state.catalog(&name, CATALOG_TTL);
            for digest in plan.blobs.keys() {
                catalog.note(from, digest);
            }
        }
        let unnamed = |error| Error::Registry {
            name: into.registry.name.clone(),
            error,
        };
        let registry =
            Registry::new(into.registry.clone(), into.ledger.clone()).map_err(unnamed)?;
        let config = target::Config {
            registry: into.registry,
            place: "{repository}"
                .parse::<Place>()
                .map_err(|error| Error::Usage(error.to_string()))?,
            only: NameFilter::default(),
            complete: match into.is_part {
                true => Complete::Requested,
                false => Complete::All,
            },
            read: false,
            catalog_ttl: CATALOG_TTL,
        };
        let targets = Targets::new(vec![config], state.clone(), into.ledger.clone());
        let targets = targets.map_err(Error::Target)?;
        targets.start(supply);
        Ok(Self {
            targets,
            catalog: state.catalog(&name, CATALOG_TTL),
            name,
            repository: into.at.repository.clone(),
            registry,
            flow: into.flow,
        })
    }

    /// Finds out what is there already, so that it need not come from the source: whether `item` is,
    /// as it is wanted. A repository that is new is asked nothing but that.
    pub(super) async fn survey(&self, plan: &Plan, tag: Option<&Tag>) -> Result<Survey, Error> {
        let root = &plan.root.descriptor.digest;
        if self.has(root, tag).await? {
            return Ok(Survey::Done);
        }
        let list = self
            .registry
            .tag_list(self.flow, &self.repository.name, "n=1");
        match list.await {
            Ok(mut list) => list.unspent.spend_all(Fate::Discarded(Reason::Control)),
            Err(registry::Error::NotFound { .. }) => return Ok(Survey::New),
            // Whoever may push may not always list.
            Err(_) => {}
        }
        let asked = stream::iter(plan.blobs.keys()).map(|digest| async move {
            let name = &self.repository.name;
            match self.registry.blob_head(self.flow, name, digest).await {
                Ok(_) => self.catalog.note(name, digest),
                // Then it is uploaded, or that fails with a reason.
                Err(error) => tracing::debug!("{digest} at the target: {error}"),
            }
        });
        asked.buffer_unordered(AT_ONCE).collect::<()>().await;
        Ok(Survey::Known)
    }

    /// Whether the manifest is there, under its tag where it has one.
    pub(super) async fn has(&self, digest: &oci::Digest, tag: Option<&Tag>) -> Result<bool, Error> {
        let reference = match tag {
            Some(tag) => oci::Reference::Tag(tag.clone()),
            None => oci::Reference::Digest(digest.clone()),
        };
        match self.head(&reference).await {
            Ok(found) => Ok(found.as_ref() == Some(digest)),
            Err(registry::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(Error::Registry {
                name: self.repository.upstream.clone(),
                error,
            }),
        }
    }

    /// Puts one manifest there, with all that it names.
    pub(super) async fn push(
        &self,
        digest: &oci::Digest,
        tag: Option<Tag>,
    ) -> Result<Mirrored, target::Error> {
        let errand = Errand {
            repository: self.repository.clone(),
            digest: digest.clone(),
            tag,
            flow: self.flow,
        };
        let wish = Wish::as_configured(errand, Pace::Client);
        self.targets.mirror(&self.name, wish).await
    }

    async fn head(
        &self,
        reference: &oci::Reference,
    ) -> Result<Option<oci::Digest>, registry::Error> {
        let (name, accept) = (&self.repository.name, oci::media::ACCEPT_NATIVE);
        let head = self
            .registry
            .manifest_head(self.flow, name, reference, accept)
            .await?;
        Ok(head.digest)
    }

    /// Ends it.
    pub(super) async fn end(&self) {
        self.targets.close();
        self.targets.settled().await;
    }
}
