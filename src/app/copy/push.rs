//! What is copied into a registry, by the engine of targets.

use std::path::Path;
use std::sync::Arc;

use super::Error;
use super::Reference;
use super::plan::Item;
use super::plan::Plan;
use crate::ledger::FlowId;
use crate::ledger::Ledger;
use crate::oci;
use crate::oci::NameFilter;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::registry;
use crate::registry::Registry;
use crate::target;
use crate::target::Complete;
use crate::target::Errand;
use crate::target::Mirrored;
use crate::target::Place;
use crate::target::State;
use crate::target::Supply;
use crate::target::Targets;

/// A registry that is copied into.
#[derive(Debug)]
pub(super) struct Pusher {
    targets: Arc<Targets>,
    name: Arc<str>,
    repository: Repository,
    registry: Registry,
    flow: FlowId,
}

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
        let targets = Targets::new(vec![config], state, into.ledger.clone());
        let targets = targets.map_err(Error::Target)?;
        targets.start(supply);
        Ok(Self {
            targets,
            name,
            repository: into.at.repository.clone(),
            registry,
            flow: into.flow,
        })
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
        self.targets.mirror(&self.name, errand).await
    }

    /// Puts what refers to the image there.
    pub(super) async fn push_item(&self, item: &Item) -> Result<Mirrored, target::Error> {
        let tag = item.name.as_ref().and_then(|name| name.parse().ok());
        self.push(&item.descriptor.digest, tag).await
    }

    /// What the target says that `tag` points to.
    pub(super) async fn tagged(&self, tag: &Tag) -> Result<Option<oci::Digest>, registry::Error> {
        let (name, tag) = (&self.repository.name, oci::Reference::Tag(tag.clone()));
        let accept = oci::media::ACCEPT_NATIVE;
        let head = self
            .registry
            .manifest_head(self.flow, name, &tag, accept)
            .await?;
        Ok(head.digest)
    }

    /// Ends it.
    pub(super) async fn end(&self) {
        self.targets.close();
        self.targets.settled().await;
    }
}
