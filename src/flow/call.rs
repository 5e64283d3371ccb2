//! One ask, as every step of it knows it.

use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use super::Accept;
use super::access::Who;
use super::upstream::Route;
use crate::ledger::FlowId;
use crate::oci::Repository;
use crate::registry;
use crate::registry::Registry;

/// What every step of one ask needs to know.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) route: Arc<Route>,
    /// The client for the upstream: signed in as the caller, where that decides.
    pub(super) registry: Arc<Registry>,
    /// Whose credentials decide, where they are the caller's own.
    pub(super) who: Option<Who>,
    pub(super) repository: Repository,
    pub(super) accept: Accept,
    pub(super) negative_ttl: Duration,
    /// Whether some clients may pull less than others.
    pub(super) has_access_rules: bool,
    pub(super) flow: FlowId,
    pub(super) purpose: Purpose,
    pub(super) asked: SystemTime,
}

/// What something is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A client pulls it.
    Pull,
    /// A target is to have what a client has pulled.
    Errand,
    /// A target is to have it by the operator's wish.
    Wish,
    /// The store is to have it by the operator's wish.
    Keep,
}

impl Purpose {
    /// Whether the operator wants it, whose credentials are the configured ones.
    pub(super) fn is_ours(self) -> bool {
        matches!(self, Self::Wish | Self::Keep)
    }
}

impl Call {
    /// Whether its requests let all others go first.
    pub(super) fn is_at_leisure(&self) -> bool {
        Arc::ptr_eq(&self.registry, self.route.in_background())
    }

    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Lets the breaker know how a request went. What may be due to a caller's own credentials says
    /// nothing about others.
    pub(super) fn noted<T>(
        &self,
        outcome: Result<T, registry::Error>,
    ) -> Result<T, registry::Error> {
        use registry::Error::{Status, Throttled};
        match &outcome {
            Err(Status { .. } | Throttled { .. }) if self.who.is_some() => {}
            _ => self.route.breaker.note(&outcome),
        }
        outcome
    }

    /// Counts and logs an answer that is not what it promised to be.
    pub(super) fn mistrust(&self, reference: &dyn std::fmt::Display, error: &registry::Error) {
        if let registry::Error::Wrong(why) = error {
            self.route.trouble.mismatched();
            tracing::warn!(repository = %self.repository, %reference, "a wrong answer, thrown away: {why}");
        }
    }
}
