use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use super::Call;
use super::access::Who;
use super::access::is_refusal;
use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Name;
use crate::registry;
use crate::registry::FetchedBlob;
use crate::registry::Registry;

/// With whose credentials a fill asks: those of who started it. Where they are a client's own, they
/// may be refused later, for tokens expire; then it goes on with those of another follower, who has
/// been let in as well.
#[derive(Debug)]
pub(super) struct Askers(Mutex<Vec<Asker>>);

#[derive(Clone, Debug)]
struct Asker {
    who: Option<Who>,
    name: Name,
    registry: Arc<Registry>,
}

/// The same, at one of the upstream's places first.
#[derive(Debug)]
pub(super) struct Turned<'a> {
    askers: &'a Askers,
    place: usize,
}

/// How many followers' credentials are kept at hand.
const MOST: usize = 16;

impl Askers {
    /// Whoever starts the fill.
    pub(super) fn new(call: &Call) -> Self {
        Self(Mutex::new(vec![Asker::of(call)]))
    }

    /// Adds a follower that the upstream has let in.
    pub(super) fn join(&self, call: &Call) {
        let mut askers = self.askers();
        let is_new = askers.iter().all(|asker| asker.who != call.who);
        if call.who.is_some() && is_new && askers.len() < MOST {
            askers.push(Asker::of(call));
        }
    }

    /// How many places there are to ask.
    pub(super) fn places(&self) -> usize {
        let askers = self.askers();
        askers.first().map_or(0, |asker| asker.registry.places())
    }

    /// Who asks first at the place number `place`.
    pub(super) fn at(&self, place: usize) -> Turned<'_> {
        Turned {
            askers: self,
            place,
        }
    }

    /// Asks no more as `refused`; `false` where there is nobody else.
    fn dismiss(&self, refused: &Asker) -> bool {
        let mut askers = self.askers();
        if askers.len() > 1 {
            askers.retain(|asker| !Arc::ptr_eq(&asker.registry, &refused.registry));
            return true;
        }
        let only = askers.first();
        only.is_some_and(|only| !Arc::ptr_eq(&only.registry, &refused.registry))
    }

    fn askers(&self) -> MutexGuard<'_, Vec<Asker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turned<'_> {
    /// As [`Registry::blob_get`], by whoever is let in.
    pub(super) async fn blob_get(
        &self,
        flow: FlowId,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<FetchedBlob, registry::Error> {
        loop {
            let Some(asker) = self.askers.askers().first().cloned() else {
                return Err(registry::Error::Config("nobody asks".into()));
            };
            let turned = (self.place > 0).then(|| asker.registry.turned(self.place));
            let (registry, name) = (turned.as_ref().unwrap_or(&asker.registry), &asker.name);
            match registry.blob_get(flow, name, digest, range.clone()).await {
                Err(error) if is_refusal(&error) && self.askers.dismiss(&asker) => {}
                fetched => return fetched,
            }
        }
    }
}

impl Asker {
    fn of(call: &Call) -> Self {
        Self {
            who: call.who,
            name: call.repository.name.clone(),
            registry: call.registry().clone(),
        }
    }
}
