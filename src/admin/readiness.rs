use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use serde_json::json;
use tokio::sync::Mutex;

use super::Prefetch;
use super::prefetch;
use crate::flow::PullThrough;
use crate::ledger::Books;
use crate::ledger::Journal;
use crate::ledger::Ledger;
use crate::registry::Limit;
use crate::store::Store;
use crate::target::TargetState;
use crate::target::Targets;

/// What the admin listener knows of the proxy. All clones know the same.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<State>);

#[derive(Debug)]
struct State {
    store: Arc<Store>,
    flow: Arc<PullThrough>,
    ledger: Ledger,
    journal: OnceLock<Arc<Journal>>,
    targets: OnceLock<Arc<Targets>>,
    prefetch: OnceLock<Arc<dyn Prefetch>>,
    started: Instant,
    is_draining: AtomicBool,
    probed: Mutex<Option<Probe>>,
}

/// Whether the store took a write, when it was last tried.
#[derive(Clone, Debug)]
struct Probe {
    at: Instant,
    problem: Option<String>,
}

/// How long a probe of the store is believed.
const PROBE_TTL: Duration = Duration::from_secs(3);
/// How long a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

impl Readiness {
    /// Of a proxy that starts now.
    pub fn new(store: Arc<Store>, flow: Arc<PullThrough>, ledger: Ledger) -> Self {
        Self(Arc::new(State {
            store,
            flow,
            ledger,
            journal: OnceLock::new(),
            targets: OnceLock::new(),
            prefetch: OnceLock::new(),
            started: Instant::now(),
            is_draining: AtomicBool::new(false),
            probed: Mutex::new(None),
        }))
    }

    /// From now on it tells how `journal` does.
    pub fn show_journal(&self, journal: Option<Arc<Journal>>) {
        if let Some(journal) = journal {
            let _ = self.0.journal.set(journal);
        }
    }

    /// From now on it tells how `targets` do.
    pub fn show_targets(&self, targets: Option<Arc<Targets>>) {
        if let Some(targets) = targets {
            let _ = self.0.targets.set(targets);
        }
    }

    /// From now on it tells how the sets of `prefetch` do, and has them run.
    pub fn show_prefetch(&self, prefetch: Arc<dyn Prefetch>) {
        let _ = self.0.prefetch.set(prefetch);
    }

    /// From now on it is not ready: it is shutting down.
    pub fn drain(&self) {
        self.0.is_draining.store(true, Ordering::Relaxed);
    }

    /// Why it can't serve; empty where it can. Upstreams that are out don't count: what is stored
    /// is served. Nor do targets: what is owed to them is brought later.
    pub(super) async fn problems(&self) -> Vec<String> {
        let draining = self.is_draining().then(|| "shutting down".to_owned());
        draining
            .into_iter()
            .chain(self.store_problem().await)
            .collect()
    }

    /// Whether it is shutting down.
    pub(super) fn is_draining(&self) -> bool {
        self.0.is_draining.load(Ordering::Relaxed)
    }

    /// Why the store takes no writes, where it takes none. Many askers cause one probe.
    pub(super) async fn store_problem(&self) -> Option<String> {
        let mut probed = self.0.probed.lock().await;
        if let Some(probe) = probed.as_ref()
            && probe.at.elapsed() < PROBE_TTL
        {
            return probe.problem.clone();
        }
        let problem = match tokio::time::timeout(PROBE_TIMEOUT, self.0.store.probe()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("the store takes no writes: {error}")),
            Err(_) => Some(format!("the store took no write within {PROBE_TIMEOUT:?}")),
        };
        let at = Instant::now();
        *probed = Some(Probe {
            at,
            problem: problem.clone(),
        });
        problem
    }

    /// The store that is served from.
    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    /// The journal, where there is one.
    pub(super) fn journal(&self) -> Option<&Journal> {
        self.0.journal.get().map(|journal| &**journal)
    }

    /// The targets, where there are some.
    pub(super) fn targets(&self) -> Option<&Arc<Targets>> {
        self.0.targets.get()
    }

    /// Who runs the sets that are kept warm.
    pub(super) fn prefetch(&self) -> Option<&dyn Prefetch> {
        self.0.prefetch.get().map(|prefetch| &**prefetch)
    }

    /// How each target does.
    pub(super) fn target_states(&self) -> Vec<TargetState> {
        self.targets()
            .map_or(Vec::new(), |targets| targets.states())
    }

    /// What became of every byte.
    pub(super) fn books(&self) -> Books {
        self.0.ledger.books()
    }

    /// The flow that serves.
    pub(super) fn flow(&self) -> &PullThrough {
        &self.0.flow
    }

    /// How each upstream does.
    pub(super) fn upstreams(&self) -> Value {
        let states = self.0.flow.upstreams().into_iter().map(|upstream| {
            let name = upstream.name.as_str();
            let mut state = json!({
                "name": name,
                "state": "up",
                "mismatches": upstream.mismatches,
                "resumes": upstream.resumes,
                "retries": upstream.retries,
            });
            if let Some((since, problem)) = upstream.outage {
                state["state"] = "down".into();
                state["down_seconds"] = since.as_secs().into();
                state["problem"] = problem.into();
            }
            state["limits"] = upstream.limits.iter().map(limit).collect();
            state
        });
        states.collect()
    }

    /// What `/api/v1/status` shows.
    pub(super) fn status(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": self.0.started.elapsed().as_secs(),
            "draining": self.is_draining(),
            "fills": self.0.flow.fills(),
            "store": self.0.store.usage(),
            "books": self.books(),
            "journal": self.journal().map(journal),
            "upstreams": self.upstreams(),
            "targets": self.target_states().iter().map(target).collect::<Value>(),
            "prefetch": prefetch::short(self),
        })
    }
}

/// How a target does, in short.
fn target(target: &TargetState) -> Value {
    let mut state = json!({
        "name": target.name,
        "state": "up",
        "owed": target.owed,
        "under_way": target.under_way,
    });
    if let Some(outage) = &target.outage {
        state["state"] = "down".into();
        let since = outage.since.elapsed().unwrap_or_default();
        state["down_seconds"] = since.as_secs().into();
        state["problem"] = outage.error.as_str().into();
    }
    state
}

fn journal(journal: &Journal) -> Value {
    json!({
        "path": journal.path().display().to_string(),
        "written": journal.written(),
        "dropped": journal.dropped(),
        "problem": journal.problem(),
    })
}

/// A limit of an upstream. What the upstream doesn't tell is not there.
fn limit(limit: &Limit) -> Value {
    let mut shown = json!({"host": *limit.host, "window": limit.window});
    let mut show = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            shown[key] = value;
        }
    };
    let seconds =
        |duration: Duration| json!(duration.as_secs() + u64::from(duration.subsec_nanos() > 0));
    show("paused_seconds", limit.paused.map(seconds));
    show("size", Some(limit.size.into()));
    show("in_flight", Some(limit.in_flight.into()));
    show("waiting", Some(limit.waiting.into()));
    show("rate", limit.rate.map(Value::from));
    show("decreases", Some(limit.decreases.into()));
    if let Some(quota) = &limit.quota {
        show("limit", quota.limit.map(Value::from));
        show("remaining", Some(quota.remaining.into()));
        show("window_seconds", quota.window.map(seconds));
        show("reset_seconds", quota.reset.map(seconds));
        show("source", quota.source.as_deref().map(Value::from));
        let age = quota.seen.elapsed().unwrap_or_default();
        show("seen_seconds_ago", Some(age.as_secs().into()));
    }
    shown
}
