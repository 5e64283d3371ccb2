use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::Traffic;
use crate::ledger::Connection;
use crate::ledger::FlowId;
use crate::ledger::Leg;
use crate::ledger::Receipt;
use crate::ledger::Sink;
use crate::oci::Digest;
use crate::oci::Manifest;

mod watching;

/// Counts what crosses the network for runs: a sink of the ledger, which is to be one of those that
/// it is made with.
#[derive(Debug, Default)]
pub struct Tally {
    flows: RwLock<HashMap<FlowId, Arc<Meter>>>,
}

/// What crossed for one flow.
#[derive(Debug, Default)]
pub(super) struct Meter {
    source_requests: AtomicU64,
    target_requests: AtomicU64,
    throttled: AtomicU64,
    fetched_bytes: AtomicU64,
    uploaded_bytes: AtomicU64,
    /// What a run that changes nothing would have fetched.
    would_fetch: AtomicU64,
    /// How far each blob is: what came of it, and all of it, in bytes.
    blobs: Mutex<HashMap<Digest, (u64, u64)>>,
}

/// A flow that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Counting {
    tally: Arc<Tally>,
    pub(super) flow: FlowId,
    pub(super) meter: Arc<Meter>,
}

impl Tally {
    /// Counts a new flow from now on.
    pub(super) fn count(self: &Arc<Self>) -> Counting {
        let (flow, meter) = (FlowId::next(), Arc::<Meter>::default());
        let mut flows = self.flows.write().unwrap_or_else(PoisonError::into_inner);
        flows.insert(flow, meter.clone());
        Counting {
            tally: self.clone(),
            flow,
            meter,
        }
    }

    fn meter(&self, flow: FlowId) -> Option<Arc<Meter>> {
        let flows = self.flows.read().unwrap_or_else(PoisonError::into_inner);
        flows.get(&flow).cloned()
    }
}

impl Meter {
    /// What crossed until now.
    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            source_requests: self.source_requests.load(Relaxed),
            target_requests: self.target_requests.load(Relaxed),
            throttled: self.throttled.load(Relaxed),
            fetched_bytes: self.fetched_bytes.load(Relaxed) + self.would_fetch.load(Relaxed),
            uploaded_bytes: self.uploaded_bytes.load(Relaxed),
            ..Traffic::default()
        }
    }

    /// So many bytes would have been fetched.
    pub(super) fn would_fetch(&self, bytes: u64) {
        self.would_fetch.fetch_add(bytes, Relaxed);
    }

    /// Bytes of blobs that came, and all that are known of.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let add = |sum: (u64, u64), blob: &(u64, u64)| (sum.0 + blob.0, sum.1 + blob.1);
        blobs.values().fold((0, 0), add)
    }

    /// The blobs that a manifest names are wanted.
    pub(super) fn expect(&self, manifest: &Manifest) {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        for (digest, size) in manifest.blobs.iter().zip(&manifest.sizes) {
            blobs.entry(digest.clone()).or_default().1 = *size;
        }
    }

    /// So many bytes of a blob have come.
    pub(super) fn came(&self, digest: &Digest, bytes: u64) {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(blob) = blobs.get_mut(digest) {
            blob.0 = blob.0.max(bytes);
        }
    }
}

impl Sink for Tally {
    fn exchange(&self, receipt: &Receipt) {
        let Some(meter) = self.meter(receipt.flow) else {
            return;
        };
        match receipt.leg {
            Leg::Upstream => {
                meter.source_requests.fetch_add(1, Relaxed);
                let bytes = receipt.response_bytes;
                meter.fetched_bytes.fetch_add(bytes, Relaxed);
            }
            Leg::Target => {
                meter.target_requests.fetch_add(1, Relaxed);
                let bytes = receipt.request_bytes;
                meter.uploaded_bytes.fetch_add(bytes, Relaxed);
            }
            Leg::Client | Leg::Tap => {}
        }
        if receipt.status == 429 {
            meter.throttled.fetch_add(1, Relaxed);
        }
    }

    fn connection(&self, _: &Connection) {}
}

impl Drop for Counting {
    fn drop(&mut self) {
        let flows = &self.tally.flows;
        let mut flows = flows.write().unwrap_or_else(PoisonError::into_inner);
        flows.remove(&self.flow);
    }
}
