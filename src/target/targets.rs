use std::sync::Arc;

use super::Config;
use super::Errand;
use super::Error;
use super::Mirrored;
use super::Reader;
use super::State;
use super::Supply;
use super::TargetState;
use crate::ledger::FlowId;
use crate::ledger::Ledger;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Repository;
use crate::oci::Tag;

/// What a client was served: a manifest.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// Where it comes from.
    pub repository: Repository,
    /// The manifest.
    pub digest: Digest,
    /// The tag that it was asked for by, and that points to it upstream.
    pub tag: Option<Tag>,
    /// The client's flow.
    pub flow: FlowId,
}

/// All targets, and what is under way to them.
#[derive(Debug)]
pub struct Targets {
    state: Arc<State>,
}

impl Targets {
    /// Nothing is under way before [`Targets::start`].
    ///
    /// # Errors
    /// `Registry` where one can't be made of its configuration.
    pub fn new(
        configs: Vec<Config>,
        state: Arc<State>,
        ledger: Ledger,
    ) -> Result<Arc<Self>, Error> {
        let _ = (configs, ledger);
        Ok(Arc::new(Self { state }))
    }

    /// Begins with what is owed, and takes what is pulled from now on. Needs a tokio runtime.
    pub fn start(self: &Arc<Self>, supply: Arc<dyn Supply>) {
        let _ = supply;
    }

    /// A client was served a manifest: it is owed to each target that takes its repository and is
    /// not known to have it. Waits for nothing.
    pub fn pulled(&self, pulled: Pulled) {
        let _ = pulled;
    }

    /// The targets that clients of `repository` may be served from, in their order.
    pub fn readers(&self, repository: &Repository) -> Vec<Reader> {
        let _ = repository;
        Vec::new()
    }

    /// Mirrors one manifest, with all that it names, now. It is tried once: what fails is not owed.
    /// Dropping the future leaves the work under way.
    ///
    /// # Errors
    /// Why it is not there.
    pub async fn mirror(&self, target: &str, errand: Errand) -> Result<Mirrored, Error> {
        let _ = errand;
        Err(Error::NoTarget(target.to_owned()))
    }

    /// Begins no errand from now on; those under way go on.
    pub fn close(&self) {}

    /// Waits until nothing is under way and nothing can begin now, and what was noted is on disk.
    /// What waits for a later try is not waited for.
    pub async fn settled(&self) {
        let _ = self.state.synced().await;
    }

    /// How they do.
    pub fn states(&self) -> Vec<TargetState> {
        Vec::new()
    }

    /// Forgets what `target` is known to have, in `name` or everywhere: how many entries.
    /// It is on disk at the return; this blocks.
    ///
    /// # Errors
    /// `NoTarget`; `State` when the disk fails.
    pub fn forget(&self, target: &str, name: Option<&Name>) -> Result<u64, Error> {
        let _ = name;
        Err(Error::NoTarget(target.to_owned()))
    }
}
