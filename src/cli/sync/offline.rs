//! `sync --offline`: from the store to the targets, where no upstream can be reached.

use std::sync::Arc;

use anyhow::anyhow;

use crate::cli::exit::Failure;
use crate::config::Config;
use crate::prefetch::Destination;
use crate::prefetch::Prune;
use crate::prefetch::Set;

/// The sets as they are brought from the store: to their targets alone. Nothing is pruned, for the
/// store is no word on what is gone at a source.
pub(super) fn prepared(config: &Config, sets: &[Arc<Set>]) -> Result<Vec<Arc<Set>>, Failure> {
    let misused = |why: String| Failure::misused(anyhow!(why));
    if !config.store_enabled {
        let why = "--offline takes what is in the store, but [store] enabled is false";
        return Err(misused(why.to_owned()));
    }
    let prepared = |set: &Arc<Set>| {
        let mut set = Set::clone(set);
        set.to.retain(|to| *to != Destination::Store);
        set.prune = Prune::Off;
        match set.to.is_empty() {
            false => Ok(Arc::new(set)),
            true => Err(misused(format!(
                "the set '{}' goes to no target, so there is nothing to bring from the store; name \
                 targets in its `to`",
                set.name
            ))),
        }
    };
    sets.iter().map(prepared).collect()
}
