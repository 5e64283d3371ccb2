use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::time::Instant;

use super::access::Access;
use super::breaker::Breaker;
use super::parallel::Ranges;
use super::parallel::Rest;
use crate::oci::NameFilter;
use crate::registry::Credentials;
use crate::registry::Limit;
use crate::registry::Priority;
use crate::registry::Registry;

/// One upstream, as the flow is told of it.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The client for it.
    pub registry: Arc<Registry>,
    /// How long a tag is believed without asking again.
    pub tag_ttl: Duration,
    /// Where the clients' own credentials decide: how long a permission is believed without asking
    /// again.
    pub auth_ttl: Duration,
    /// Which repositories may be asked for.
    pub names: NameFilter,
}

/// An upstream at work.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) upstream: Upstream,
    /// The client for it, for whom nobody waits.
    background: Arc<Registry>,
    pub(super) breaker: Breaker,
    /// Whom it lets in, where the clients' own credentials decide.
    pub(super) access: Option<Access>,
    pub(super) trouble: Arc<Trouble>,
    /// Whether its blobs are asked for in ranges.
    rest: Arc<Rest>,
    /// When it was found to have no referrers API.
    no_referrers: Mutex<Option<Instant>>,
}

/// How long an upstream is believed to have no referrers API: it may get one.
const NO_REFERRERS: Duration = Duration::from_secs(60 * 60);

/// What went wrong with an upstream's answers and was made good, or thrown away.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    mismatches: AtomicU64,
    resumes: AtomicU64,
}

impl Trouble {
    /// An answer was not what its header, its length or its digest promised.
    pub(super) fn mismatched(&self) {
        self.mismatches.fetch_add(1, Ordering::Relaxed);
    }

    /// A transfer broke off and is resumed.
    pub(super) fn resumed(&self) {
        self.resumes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Route {
    /// Where there was one of this name before, what that has counted counts here too.
    pub(super) fn new(upstream: Upstream, before: Option<&Self>) -> Self {
        let is_own = upstream.registry.config().credentials == Credentials::Passthrough;
        Self {
            access: is_own.then(|| Access::new(upstream.auth_ttl)),
            background: Arc::new(upstream.registry.at_pace(Priority::Background)),
            upstream,
            breaker: Breaker::default(),
            trouble: before.map_or_else(Arc::default, |before| before.trouble.clone()),
            rest: Arc::default(),
            no_referrers: Mutex::default(),
        }
    }

    /// Whether it was found lately to have no referrers API.
    pub(super) fn lacks_referrers(&self) -> bool {
        let found = *self.no_referrers();
        found.is_some_and(|at| at.elapsed() < NO_REFERRERS)
    }

    /// It has no referrers API.
    pub(super) fn found_no_referrers(&self) {
        *self.no_referrers() = Some(Instant::now());
    }

    fn no_referrers(&self) -> MutexGuard<'_, Option<Instant>> {
        self.no_referrers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The client for it.
    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.upstream.registry
    }

    /// How its large blobs are asked for.
    pub(super) fn ranges(&self) -> Ranges {
        let registry = self.registry();
        Ranges {
            most: registry.parallel_ranges(),
            limit: registry.config().bandwidth.map(NonZeroU64::get),
            rest: self.rest.clone(),
        }
    }

    /// The client for it that lets all others go first.
    pub(super) fn in_background(&self) -> &Arc<Registry> {
        &self.background
    }

    /// How it does.
    pub(super) fn state(&self) -> UpstreamState {
        let registry = self.registry();
        UpstreamState {
            name: registry.config().name.clone(),
            outage: self.breaker.state(),
            limits: registry.limits(),
            mismatches: self.trouble.mismatches.load(Ordering::Relaxed),
            resumes: self.trouble.resumes.load(Ordering::Relaxed),
            retries: registry.retries(),
        }
    }
}

/// How an upstream does.
#[derive(Clone, Debug)]
pub struct UpstreamState {
    /// What clients call it.
    pub name: crate::oci::UpstreamName,
    /// How long it has been out, and why, where it is.
    pub outage: Option<(Duration, String)>,
    /// What is known of its limits.
    pub limits: Vec<Limit>,
    /// How many of its answers were thrown away: their digest, length, range or encoding was not
    /// the one promised. This and what follows is counted since the upstream was first configured:
    /// a reload goes on counting.
    pub mismatches: u64,
    /// How many transfers broke off and were resumed.
    pub resumes: u64,
    /// How many requests were made again.
    pub retries: u64,
}
