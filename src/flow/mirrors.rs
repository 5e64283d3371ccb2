use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Call;
use super::breaker::Breaker;
use super::breaker::Gate;
use super::breaker::is_outage;
use super::manifest::Memory;
use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Manifest;
use crate::oci::Reference;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::oci::media;
use crate::registry;
use crate::registry::FetchedBlob;
use crate::registry::FetchedManifest;
use crate::target::Pulled;
use crate::target::Reader;
use crate::target::Targets;

/// The targets that are read from before the upstream is asked.
///
/// Promise: one that is down costs whoever asks first its connect timeout, and nobody after that:
/// it is left out until it answers again.
#[derive(Debug)]
pub(super) struct Mirrors {
    targets: Option<Arc<Targets>>,
    breakers: Mutex<HashMap<Arc<str>, Arc<Breaker>>>,
    /// Those that were served lately.
    manifests: Memory,
}

/// A target that may have something of a repository.
#[derive(Debug)]
pub(super) struct Mirror {
    reader: Reader,
    targets: Arc<Targets>,
    repository: Repository,
    manifests: Memory,
    breaker: Arc<Breaker>,
    /// Whether it has begun to give a blob.
    gave: AtomicBool,
}

impl Mirrors {
    pub(super) fn new(targets: Option<Arc<Targets>>, manifests: Memory) -> Self {
        Self {
            targets,
            breakers: Mutex::default(),
            manifests,
        }
    }

    /// Those of the call's repository, in their order. None for a client whose own credentials
    /// decide: what is there, others have brought.
    fn of(&self, call: &Call) -> impl Iterator<Item = Mirror> {
        let targets = self.targets.iter().filter(|_| call.who.is_none());
        targets.flat_map(|targets| {
            let readers = targets.readers(&call.repository).into_iter();
            readers.map(|reader| Mirror {
                targets: targets.clone(),
                repository: call.repository.clone(),
                manifests: self.manifests.clone(),
                breaker: self.breaker(&reader.target),
                reader,
                gave: AtomicBool::new(false),
            })
        })
    }

    /// Whether one of them has the blob in the place of this call's repository, and it is known that
    /// it may be read through that.
    pub(super) fn opens(&self, call: &Call, digest: &Digest) -> bool {
        self.of(call).any(|it| it.reader.opens(digest))
    }

    /// The upstream has said that this call's repository has the blob.
    pub(super) fn prove(&self, call: &Call, digest: &Digest) {
        for mirror in &*self.holding(call, digest) {
            mirror.reader.prove(digest);
        }
    }

    /// Whether one of them is known to have `digest` in the place of this call's repository.
    pub(super) fn holds(&self, call: &Call, digest: &Digest) -> bool {
        self.of(call).any(|it| it.reader.holds(digest))
    }

    /// Those that are known to have `digest` in the place of this call's repository.
    pub(super) fn holding(&self, call: &Call, digest: &Digest) -> Arc<[Mirror]> {
        self.of(call).filter(|it| it.reader.holds(digest)).collect()
    }

    /// Whether one of them has the tag.
    pub(super) fn has_tag(&self, call: &Call, tag: &Tag) -> bool {
        self.of(call).any(|it| it.reader.has_tag(tag))
    }

    /// The manifest, from the first one that has it and gives it.
    pub(super) async fn manifest(&self, call: &Call, digest: &Digest) -> Option<FetchedManifest> {
        let reference = Reference::Digest(digest.clone());
        for mirror in &*self.holding(call, digest) {
            if let Ok(fetched) = mirror.manifest(call.flow, &reference).await {
                return Some(fetched);
            }
        }
        None
    }

    /// What the tag points to at the first one that has it.
    pub(super) async fn tagged(&self, call: &Call, tag: &Tag) -> Option<FetchedManifest> {
        let reference = Reference::Tag(tag.clone());
        for mirror in self.of(call) {
            if let Ok(fetched) = mirror.manifest(call.flow, &reference).await {
                return Some(fetched);
            }
        }
        None
    }

    fn breaker(&self, target: &Arc<str>) -> Arc<Breaker> {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        breakers.entry(target.clone()).or_default().clone()
    }
}

impl Mirror {
    async fn manifest(
        &self,
        flow: FlowId,
        reference: &Reference,
    ) -> Result<FetchedManifest, registry::Error> {
        let Reader { registry, name, .. } = &self.reader;
        let asked = registry.manifest_get(flow, name, reference, media::ACCEPT_NATIVE);
        let digest = match reference {
            Reference::Digest(digest) => Some(digest),
            Reference::Tag(_) => None,
        };
        self.ask(digest, asked).await
    }

    /// A part of a blob, or all of it.
    ///
    /// # Errors
    /// What the target says, or that it is left out. It is out of the catalog then where it has no
    /// such blob.
    pub(super) async fn blob(
        &self,
        flow: FlowId,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<FetchedBlob, registry::Error> {
        let Reader { registry, name, .. } = &self.reader;
        let asked = registry.blob_get(flow, name, digest, range);
        let fetched = self.ask(Some(digest), asked).await?;
        self.gave.store(true, Ordering::Relaxed);
        Ok(fetched)
    }

    /// The length of a blob in bytes, where it tells.
    ///
    /// # Errors
    /// As [`Mirror::blob`]'s.
    pub(super) async fn size(
        &self,
        flow: FlowId,
        digest: &Digest,
    ) -> Result<Option<u64>, registry::Error> {
        let Reader { registry, name, .. } = &self.reader;
        let asked = registry.blob_head(flow, name, digest);
        self.ask(Some(digest), asked).await
    }

    /// It has given bytes of a blob that turned out to be wrong: it may be its fault, and is asked
    /// no more for it. Whether it has given any.
    pub(super) fn blame(&self, digest: &Digest) -> bool {
        let gave = self.gave.load(Ordering::Relaxed);
        if gave {
            let Reader { target, name, .. } = &self.reader;
            tracing::warn!(%target, %name, %digest, "the target may have other content than the digest says");
            self.lose(digest);
        }
        gave
    }

    /// The target has not `digest`, or something else in its place: that is known no more, and what
    /// names it is owed to the target again, as far as it was served lately.
    fn lose(&self, digest: &Digest) {
        self.reader.withdraw(digest);
        let own = self.manifests.iter();
        for (key, manifest) in own.filter(|(key, _)| key.0 == self.repository) {
            let named = Manifest::parse(&manifest.bytes);
            if named.blobs.contains(digest) || named.manifests.contains(digest) {
                self.reader.withdraw(&key.1);
                self.targets.pulled(Pulled {
                    repository: self.repository.clone(),
                    digest: key.1.clone(),
                    tag: None,
                    flow: FlowId::next(),
                });
            }
        }
    }

    async fn ask<T>(
        &self,
        digest: Option<&Digest>,
        asked: impl Future<Output = Result<T, registry::Error>>,
    ) -> Result<T, registry::Error> {
        if !self.is_in() {
            let why = "it was down a moment ago, and is left out for a while";
            return Err(registry::Error::Unreachable(why.into()));
        }
        let patience = self.reader.registry.config().timeouts.connect;
        let answer = match tokio::time::timeout(patience, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(late(patience)),
        };
        let Reader { target, name, .. } = &self.reader;
        match (&answer, digest) {
            (Err(registry::Error::NotFound { .. } | registry::Error::Wrong(_)), Some(digest)) => {
                tracing::warn!(%target, %name, %digest, "the target has not what it was known to have");
                self.lose(digest);
            }
            (Err(error), _) if is_useless(error) => {
                tracing::warn!(%target, "not read from for a while: it {error}");
                self.breaker.trip(error);
                return answer;
            }
            _ => {}
        }
        self.breaker.note(&answer);
        answer
    }

    /// Whether it may be asked. After a while out it is asked whether it is there, and nobody waits
    /// for that.
    fn is_in(&self) -> bool {
        match self.breaker.gate() {
            Gate::Closed => true,
            Gate::Open => false,
            Gate::Probe => {
                let (registry, breaker) = (self.reader.registry.clone(), self.breaker.clone());
                tokio::spawn(async move {
                    let answer = registry.ping(FlowId::next()).await;
                    match &answer {
                        Err(error) if is_useless(error) => breaker.trip(error),
                        _ => breaker.note(&answer),
                    }
                });
                false
            }
        }
    }
}

fn late(patience: std::time::Duration) -> registry::Error {
    registry::Error::TimedOut(format!("did not answer within {patience:?}"))
}

/// Whether there is no use in asking a target for anything, for a while.
fn is_useless(error: &registry::Error) -> bool {
    is_outage(error) || matches!(error, registry::Error::Refused { .. })
}
