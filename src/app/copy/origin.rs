use std::collections::BTreeSet;
use std::sync::Arc;

use super::End;
use super::Error;
use super::Reference;
use super::disk::Disk;
use super::disk::Shelf;
use crate::config::Config;
use crate::flow;
use crate::flow::Accept;
use crate::flow::Ask;
use crate::flow::Body;
use crate::flow::Caller;
use crate::flow::PullThrough;
use crate::flow::Want;
use crate::layout;
use crate::ledger::FlowId;
use crate::ledger::Ledger;
use crate::ledger::Leg;
use crate::oci;
use crate::oci::Descriptor;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::registry;
use crate::registry::Registry;
use crate::store::Store;
use crate::target::Supply;

/// Where a copy comes from.
#[derive(Debug)]
pub(super) struct Origin {
    place: Place,
    /// As whom its content is asked for.
    pub(super) repository: Repository,
    flow: FlowId,
}

#[derive(Debug)]
enum Place {
    Registry(Arc<PullThrough>),
    Disk(Arc<dyn Shelf>),
}

/// What is to be copied: a manifest or an index.
#[derive(Clone, Debug)]
pub(super) struct Root {
    pub(super) descriptor: Descriptor,
    /// What it is called at its source: a tag, or a docker-archive's full name.
    pub(super) name: Option<String>,
}

impl Origin {
    /// Opens it, and finds what is to be copied.
    pub(super) async fn open(
        end: &End,
        config: &Config,
        how: &super::Connection<'_>,
    ) -> Result<(Self, Root), Error> {
        match end {
            End::Registry(reference) => {
                let origin = Self::registry(reference, config, how).await?;
                let descriptor = origin.descriptor(reference).await?;
                let descriptor = descriptor.ok_or_else(|| Error::Source {
                    what: end.to_string(),
                    why: "there is no such image".to_owned(),
                })?;
                let name = reference.tag.as_ref().map(ToString::to_string);
                Ok((origin, Root { descriptor, name }))
            }
            End::Disk(location) => {
                let location = location.clone();
                let opened = super::blocking(move || {
                    let source = layout::Source::open(&location)?;
                    let chosen = source.choose(location.name())?;
                    Ok::<_, layout::Error>((source, chosen))
                });
                let (source, chosen) = opened.await?;
                let root = Root {
                    descriptor: chosen.descriptor,
                    name: chosen.names.into_iter().next(),
                };
                Ok((Self::disk(Arc::new(source), how.flow), root))
            }
        }
    }

    /// What is on disk.
    pub(super) fn disk(shelf: Arc<dyn Shelf>, flow: FlowId) -> Self {
        Self {
            place: Place::Disk(shelf),
            repository: super::on_disk(),
            flow,
        }
    }

    async fn registry(
        reference: &Reference,
        config: &Config,
        how: &super::Connection<'_>,
    ) -> Result<Self, Error> {
        let repository = reference.repository.clone();
        let settings = config.registry(&repository.upstream, Leg::Upstream, how.plain_http);
        let upstream = upstream(settings, how.ledger)?;
        let spool = crate::store::Config {
            path: how.folder.to_path_buf(),
            max_size: None,
        };
        let store = Store::spool(spool).await.map_err(Error::Spool)?;
        let pulls = PullThrough::new(config.flow.clone(), store, vec![upstream]);
        Ok(Self {
            place: Place::Registry(Arc::new(pulls)),
            repository,
            flow: how.flow,
        })
    }

    /// Who gives its content.
    pub(super) fn supply(&self) -> Arc<dyn Supply> {
        match &self.place {
            Place::Registry(pulls) => pulls.supply(),
            Place::Disk(shelf) => Arc::new(Disk(shelf.clone())),
        }
    }

    /// What a tag or a digest points to; `None` where there is none.
    async fn descriptor(&self, reference: &Reference) -> Result<Option<Descriptor>, Error> {
        let reference = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => oci::Reference::Digest(digest.clone()),
            (None, Some(tag)) => oci::Reference::Tag(tag.clone()),
            (None, None) => return Ok(None),
        };
        Ok(self.get(reference).await?.map(|(descriptor, _)| descriptor))
    }

    /// A manifest, by a registry's tag or digest.
    async fn get(&self, reference: oci::Reference) -> Result<Option<(Descriptor, Vec<u8>)>, Error> {
        let Place::Registry(pulls) = &self.place else {
            return Ok(None);
        };
        let what = format!("{} {reference}", self.repository);
        let want = Want::Manifest {
            reference,
            accept: Accept::Native,
        };
        match pulls.serve(self.ask(want)).await {
            Ok(served) => match served.body {
                Body::Bytes(bytes) => Ok(Some((served.descriptor, bytes.to_vec()))),
                _ => Err(Error::Source {
                    what,
                    why: "its manifest came in parts".to_owned(),
                }),
            },
            Err(flow::Error::NoManifest(..) | flow::Error::NoRepository(..)) => Ok(None),
            Err(error) => Err(Error::Flow(error)),
        }
    }

    /// What refers to `subject`: by the referrers API, else by its fallback tag, if it is one of
    /// `tags` (distribution spec, "Listing Referrers").
    pub(super) async fn referrers(
        &self,
        subject: &Digest,
        tags: &DigestTags,
    ) -> Result<Vec<Digest>, Error> {
        let pulls = match &self.place {
            Place::Registry(pulls) => pulls,
            Place::Disk(shelf) => {
                let (shelf, subject) = (shelf.clone(), subject.clone());
                return super::blocking(move || shelf.referrers(&subject)).await;
            }
        };
        let known = match tags {
            DigestTags::Known(tags) => Some(tags),
            DigestTags::Unknown => None,
        };
        let found = pulls.referrers(&self.repository, subject, known, self.flow);
        let found = found.await.map_err(Error::Flow)?;
        Ok(found.descriptors.into_iter().map(|it| it.digest).collect())
    }

    /// The tags that are made of digests: fallback tags, and cosign's.
    pub(super) async fn digest_tags(&self) -> Result<DigestTags, Error> {
        let pulls = match &self.place {
            Place::Registry(pulls) => pulls,
            Place::Disk(shelf) => {
                let shelf = shelf.clone();
                let names = super::blocking(move || shelf.names()).await?;
                let tags = names.iter().filter_map(|name| name.parse().ok());
                return Ok(DigestTags::Known(tags.collect()));
            }
        };
        // Whoever may pull may not always list.
        Ok(match pulls.listed(&self.repository, self.flow).await {
            Ok(tags) => DigestTags::Known(tags.into_iter().collect()),
            Err(_) => DigestTags::Unknown,
        })
    }

    /// What a tag points to; `None` where there is no such tag.
    pub(super) async fn tagged(&self, tag: &Tag) -> Result<Option<Digest>, Error> {
        match &self.place {
            Place::Registry(_) => {
                let found = self.get(oci::Reference::Tag(tag.clone())).await?;
                Ok(found.map(|(descriptor, _)| descriptor.digest))
            }
            Place::Disk(shelf) => {
                let (shelf, name) = (shelf.clone(), tag.to_string());
                super::blocking(move || shelf.named(&name)).await
            }
        }
    }

    fn ask(&self, want: Want) -> Ask {
        Ask {
            repository: self.repository.clone(),
            want,
            head: false,
            flow: self.flow,
            caller: Caller::default(),
        }
    }
}

/// Which tags of a repository are made of a digest.
#[derive(Clone, Debug)]
pub(super) enum DigestTags {
    /// All tags, these among them.
    Known(BTreeSet<Tag>),
    /// The registry does not list them.
    Unknown,
}

impl DigestTags {
    /// Cosign's tags about `subject` that are there, or may be.
    pub(super) fn cosign(&self, subject: &Digest) -> Vec<Tag> {
        let may_have = |tag: &Tag| match self {
            Self::Known(tags) => tags.contains(tag),
            Self::Unknown => true,
        };
        subject.cosign_tags().filter(may_have).collect()
    }
}

fn upstream(config: registry::Config, ledger: &Ledger) -> Result<flow::Upstream, Error> {
    let name = config.name.clone();
    let registry = Registry::new(config, ledger.clone());
    Ok(flow::Upstream {
        registry: Arc::new(registry.map_err(|error| Error::Registry { name, error })?),
        tag_ttl: std::time::Duration::from_secs(3600),
        auth_ttl: std::time::Duration::from_secs(3600),
        names: oci::NameFilter::default(),
    })
}
