use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::Instant;
use tokio::time::timeout_at;

use super::Error;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::target::State;
use crate::target::Targets;

/// Where it is kept what is known of targets and owed to them: beside what the store has of its own.
pub fn file(config: &Config) -> PathBuf {
    config.store.path.join("tidegate/targets.redb")
}

/// The targets, with what is known of them and owed to them; `None`, and no file, where there are
/// none.
pub(super) async fn open(config: &Config, ledger: &Ledger) -> Result<Option<Arc<Targets>>, Error> {
    if config.targets.is_empty() {
        return Ok(None);
    }
    let state = state(file(config)).await?;
    let targets = Targets::new(config.targets.clone(), state, ledger.clone());
    targets.map(Some).map_err(Error::Target)
}

/// The targets that `is_wanted`; what is owed to them stays so. `None`, and no file, where there are
/// none.
pub(super) async fn open_some(
    config: &Config,
    ledger: &Ledger,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Option<Arc<Targets>>, Error> {
    open_at(file(config), config, ledger, is_wanted).await
}

/// The same, with what is known of them at `path`.
pub(super) async fn open_at(
    path: PathBuf,
    config: &Config,
    ledger: &Ledger,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Option<Arc<Targets>>, Error> {
    let mut targets = config.targets.clone();
    targets.retain(|target| is_wanted(target.registry.name.as_str()));
    if targets.is_empty() {
        return Ok(None);
    }
    let state = state(path).await?;
    let targets = Targets::apart(targets, state, ledger.clone());
    targets.map(Some).map_err(Error::Target)
}

async fn state(path: PathBuf) -> Result<Arc<State>, Error> {
    let state = tokio::task::spawn_blocking(move || State::open(&path)).await;
    let state = state.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    state.map_err(Error::State)
}

/// What is easily overlooked where the store keeps nothing.
pub(super) fn warning(config: &Config) -> Option<&'static str> {
    let is_read = config.targets.iter().any(|target| target.read);
    (!config.store_enabled && !is_read).then_some(
        "each pull asks the upstream for all of it, but for what others are just pulling: [store] \
         enabled is false, and no [[target]] has read = true",
    )
}

/// Lets what is under way to targets end until `deadline`. What is owed then is gone on with at the
/// next start.
pub(super) async fn settle(targets: Option<&Arc<Targets>>, deadline: Instant) {
    let Some(targets) = targets else { return };
    if timeout_at(deadline, targets.settled()).await.is_err() {
        tracing::warn!("not all is at its targets: the next start goes on with what is owed");
        targets.abandon().await;
    }
}
