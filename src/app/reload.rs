use std::sync::Arc;

use super::Error;
use super::registries::Registries;
use crate::admin::Metrics;
use crate::config;
use crate::config::Config;
use crate::config::Source;
use crate::flow::PullThrough;
use crate::front;
use crate::ledger::Ledger;
use crate::prefetch::Service;

/// What a reload changes.
#[derive(Debug)]
pub(super) struct Reload {
    pub(super) flow: Arc<PullThrough>,
    pub(super) front: front::Handle,
    pub(super) ledger: Ledger,
    pub(super) metrics: Arc<Metrics>,
    pub(super) registries: Registries,
    pub(super) sets: Arc<Service>,
    /// What we started with, for what only a restart can change.
    pub(super) started: Config,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    App(#[from] Error),
}

impl Reload {
    /// Reads `source` again and takes over what it says. Where that can't be, all stays as it is.
    pub(super) fn read(&mut self, source: &Source) {
        match self.take_over(source) {
            Ok(waiting) if waiting.is_empty() => tracing::info!("reloaded {source}"),
            Ok(waiting) => tracing::warn!(
                "reloaded {source}, but a restart is needed for the new {}",
                waiting.join(", ")
            ),
            Err(error) => tracing::error!("keeping the old configuration: {error}"),
        }
    }

    /// The keys that are new but wait for a restart.
    fn take_over(&mut self, source: &Source) -> Result<Vec<&'static str>, Failure> {
        let config = source.load()?;
        let upstreams = self.registries.follow(&config.upstreams, &self.ledger)?;
        self.metrics.know(self.registries.names());
        let waiting = waiting(&self.started, &config);
        self.flow.reconfigure(config.flow, upstreams);
        self.sets.reconfigure(config.prefetch);
        self.front.reconfigure(config.front.default_upstream);
        self.front.intercept(config.front.intercepted);
        // Who has which name is for a restart to change: the new rules may be about other names.
        if config.front.login == self.started.front.login
            && config.front.tls == self.started.front.tls
        {
            self.front.give_access(config.front.access);
        }
        Ok(waiting)
    }
}

fn waiting(old: &Config, new: &Config) -> Vec<&'static str> {
    let (front, store, ledger) = (&old.front, &old.store, &old.ledger);
    let (rotation, new_rotation) = (&ledger.rotation, &new.ledger.rotation);
    [
        ("server.listen", front.listen != new.front.listen),
        ("server.intercept", front.intercept != new.front.intercept),
        ("server.tls", front.tls != new.front.tls),
        (
            "server.header_timeout",
            front.header_timeout != new.front.header_timeout,
        ),
        (
            "server.idle_timeout",
            front.idle_timeout != new.front.idle_timeout,
        ),
        (
            "server.max_connections",
            front.max_connections != new.front.max_connections,
        ),
        (
            "server.max_connections_per_client",
            front.max_connections_per_client != new.front.max_connections_per_client,
        ),
        (
            "server.max_streams",
            front.max_streams != new.front.max_streams,
        ),
        ("server.login", front.login != new.front.login),
        ("server.admin", old.admin.listen != new.admin.listen),
        ("server.admin_login", old.admin.login != new.admin.login),
        (
            "server.drain_timeout",
            old.drain_timeout != new.drain_timeout,
        ),
        ("store.enabled", old.store_enabled != new.store_enabled),
        ("store.path", store.path != new.store.path),
        ("store.max_size", store.max_size != new.store.max_size),
        ("ledger.journal", ledger.journal != new.ledger.journal),
        (
            "ledger.journal_max_size",
            rotation.max_size != new_rotation.max_size,
        ),
        ("ledger.journal_files", rotation.files != new_rotation.files),
        ("target", old.targets != new.targets),
    ]
    .into_iter()
    .filter_map(|(key, is_new)| is_new.then_some(key))
    .collect()
}
