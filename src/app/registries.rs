use std::collections::HashMap;
use std::sync::Arc;

use super::Error;
use crate::config::Upstream;
use crate::flow;
use crate::ledger::Ledger;
use crate::oci::UpstreamName;
use crate::registry::Registry;

/// The clients for the upstreams, by name. A reload keeps those whose configuration is the same,
/// with their connections, windows and tokens.
#[derive(Debug, Default)]
pub(super) struct Registries(HashMap<UpstreamName, Arc<Registry>>);

impl Registries {
    /// `upstreams` as the flow sees them: with the clients of before where nothing changed, else
    /// with new ones, which go on counting where those of before were. Only these are kept.
    ///
    /// # Errors
    /// When there can be no client for one of them; all is as it was.
    pub(super) fn follow(
        &mut self,
        upstreams: &[Upstream],
        ledger: &Ledger,
    ) -> Result<Vec<flow::Upstream>, Error> {
        let following = upstreams
            .iter()
            .map(|upstream| {
                Ok(flow::Upstream {
                    registry: self.client(upstream, ledger)?,
                    tag_ttl: upstream.tag_ttl,
                    auth_ttl: upstream.auth_ttl,
                    names: upstream.names.clone(),
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let named = |upstream: &flow::Upstream| {
            let registry = upstream.registry.clone();
            (registry.config().name.clone(), registry)
        };
        self.0 = following.iter().map(named).collect();
        Ok(following)
    }

    /// What clients call them.
    pub(super) fn names(&self) -> impl Iterator<Item = &UpstreamName> {
        self.0.keys()
    }

    fn client(&self, upstream: &Upstream, ledger: &Ledger) -> Result<Arc<Registry>, Error> {
        let config = &upstream.registry;
        let before = self.0.get(&config.name);
        if let Some(kept) = before.filter(|before| before.config() == config) {
            return Ok(kept.clone());
        }
        let (own, ledger) = (config.clone(), ledger.clone());
        let client = match before {
            Some(before) => Registry::succeeding(before, own, ledger),
            None => Registry::new(own, ledger),
        };
        client.map(Arc::new).map_err(|error| Error::Upstream {
            name: config.name.clone(),
            error,
        })
    }
}
