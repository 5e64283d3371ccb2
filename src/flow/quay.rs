//! What a Quay tells by its own API, through the same engine: who asks is known here, and so is what
//! may be asked for. Its API and its registry are two services: that one is out says nothing of the
//! other.

use std::sync::Arc;

use super::Error;
use super::PullThrough;
use super::upstream::Route;
use crate::ledger::FlowId;
use crate::oci::Repository;
use crate::oci::UpstreamName;
use crate::registry;
use crate::registry::Priority;
use crate::registry::Registry;
use crate::registry::quay::Repositories;
use crate::registry::quay::Tags;
use crate::registry::quay::TagsOf;

impl PullThrough {
    /// A page of the repositories of `namespace`: those that may be asked for here.
    ///
    /// # Errors
    /// When the upstream is not configured, or does not give it: [`Error::Ping`].
    pub async fn quay_repositories(
        &self,
        upstream: &UpstreamName,
        (namespace, page): (&str, Option<&str>),
        flow: FlowId,
    ) -> Result<Repositories, Error> {
        let (route, registry) = self.quay(upstream)?;
        let asked = registry.quay_repositories(flow, namespace, page);
        let mut found = asked.await.map_err(|error| Error::Ping {
            upstream: upstream.clone(),
            error,
        })?;
        let names = &route.upstream.names;
        found
            .repositories
            .retain(|it| names.passes(it.name.as_str()));
        Ok(found)
    }

    /// Tags of a repository, with their digests and dates.
    ///
    /// # Errors
    /// When the repository may not be asked for here, or the upstream does not give it.
    pub async fn quay_tags(
        &self,
        repository: &Repository,
        which: TagsOf<'_>,
        flow: FlowId,
    ) -> Result<Tags, Error> {
        let (route, registry) = self.quay(&repository.upstream)?;
        if !route.upstream.names.passes(repository.name.as_str()) {
            return Err(Error::Denied(repository.clone()));
        }
        let asked = registry.quay_tags(flow, &repository.name, which);
        asked.await.map_err(|error| match error {
            registry::Error::NotFound { code } => Error::NoRepository(repository.clone(), code),
            error => Error::Upstream {
                repository: repository.clone(),
                error,
            },
        })
    }

    fn quay(&self, upstream: &UpstreamName) -> Result<(Arc<Route>, Registry), Error> {
        let route = self.route(upstream)?;
        if route.access.is_some() {
            return Err(Error::Passthrough(upstream.to_string()));
        }
        let registry = route.registry().at_pace(Priority::Background);
        Ok((route, registry))
    }
}
