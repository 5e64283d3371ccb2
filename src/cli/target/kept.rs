use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::target;
use crate::target::CatalogState;
use crate::target::ErrandState;
use crate::target::Figures;
use crate::target::State;
use crate::target::TargetState;
use crate::target::state::Owed;

/// So many of what is owed are told one by one.
const TOLD: usize = 100;

/// What a target is called.
pub(super) fn name(target: &target::Config) -> String {
    target.registry.name.to_string()
}

/// How targets do while no proxy runs; also those that are not configured any more.
pub(super) fn states(state: &Arc<State>, config: &Config) -> Vec<TargetState> {
    let mut states: Vec<_> = config
        .targets
        .iter()
        .map(|target| {
            let known = (name(target), target.catalog_ttl);
            one(state, known, target.registry.url.as_str())
        })
        .collect();
    for name in state.targets() {
        if states.iter().all(|state| *state.name != *name) {
            states.push(one(state, (name, Duration::MAX), "not configured any more"));
        }
    }
    states
}

/// How they do where there is nothing to look at.
pub(super) fn nothing(config: &Config) -> Vec<TargetState> {
    let targets = config.targets.iter();
    targets
        .map(|target| empty(&name(target), target.registry.url.as_str()))
        .collect()
}

fn one(state: &Arc<State>, (name, ttl): (String, Duration), url: &str) -> TargetState {
    let owed = state.queue(&name).owed();
    TargetState {
        owed: owed.len(),
        errands: owed.into_iter().take(TOLD).map(errand).collect(),
        catalog: CatalogState {
            entries: state.catalog(&name, ttl).entries(),
            withdrawals: 0,
        },
        ..empty(&name, url)
    }
}

fn errand(owed: Owed) -> ErrandState {
    ErrandState {
        repository: owed.errand.repository.to_string(),
        digest: owed.errand.digest.to_string(),
        tag: owed.errand.tag.map(|tag| tag.to_string()),
        since: owed.since,
        under_way: false,
        attempts: owed.attempts,
        last_error: owed.last_error,
        next: Some(owed.next),
    }
}

fn empty(name: &str, url: &str) -> TargetState {
    TargetState {
        name: name.into(),
        url: url.into(),
        outage: None,
        refuses_mounts: false,
        owed: 0,
        under_way: 0,
        last_success: None,
        errands: Vec::new(),
        figures: Figures::default(),
        catalog: CatalogState::default(),
        limits: Vec::new(),
    }
}
