use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use tokio::time::Instant;
use tokio::time::timeout;
use tokio::time::timeout_at;

use crate::admin::Prefetch;
use crate::admin::PrefetchFigures;
use crate::admin::Triggered;
use crate::config::Config;
use crate::flow::PullThrough;
use crate::prefetch::Records;
use crate::prefetch::Service;
use crate::prefetch::SetState;
use crate::prefetch::Sources;
use crate::prefetch::Tally;
use crate::prefetch::Tell;
use crate::prefetch::Trigger;
use crate::prefetch::World;
use crate::target::Targets;

/// What the admin listener sees of the prefetcher.
#[derive(Debug)]
pub(super) struct Desk(pub(super) Arc<Service>);

/// How long what is broken off may take to end.
const LAST: Duration = Duration::from_secs(2);

/// What a prefetcher is made over.
type Parts<'a> = (
    &'a Arc<PullThrough>,
    Option<&'a Arc<Targets>>,
    &'a Arc<Tally>,
);

/// The prefetcher of `config`, which runs nothing yet. Its reports are kept beside what the store
/// has of its own.
pub(super) fn open(config: &Config, (flow, targets, tally): Parts<'_>) -> Arc<Service> {
    let world = World {
        flow: flow.clone(),
        sources: Sources::new(flow.clone()),
        targets: targets.cloned(),
        tally: tally.clone(),
        tell: Tell::Changes,
    };
    let records = Records::new(config.store.path.join("tidegate/prefetch"));
    Service::new(config.prefetch.clone(), world, records, zone())
}

/// The time zone of the machine: `TZ`, else `/etc/localtime`.
fn zone() -> TimeZone {
    TimeZone::try_system().unwrap_or_else(|error| {
        tracing::warn!("the hours of schedules are UTC, as the time zone is not known: {error}");
        TimeZone::UTC
    })
}

/// Lets runs end until `deadline`. What was begun then is broken off; the next start goes on.
pub(super) async fn settle(service: &Service, deadline: Instant) {
    if timeout_at(deadline, service.settled()).await.is_ok() {
        return;
    }
    tracing::warn!("not all that is being prefetched is there: the next start goes on with it");
    service.abandon();
    let _ = timeout(LAST, service.settled()).await;
}

impl Prefetch for Desk {
    fn figures(&self) -> Vec<PrefetchFigures> {
        self.0.states().iter().map(figures).collect()
    }

    fn list(&self) -> Vec<Value> {
        let states = self.0.states();
        states.iter().map(|state| state.json(false)).collect()
    }

    fn show(&self, set: &str) -> Option<Value> {
        let states = self.0.states();
        let state = states.iter().find(|state| &*state.name == set)?;
        Some(state.json(true))
    }

    fn trigger(&self, set: &str) -> Triggered {
        match self.0.trigger(set) {
            Trigger::Started(begun) => Triggered::Started(begun.to_string()),
            Trigger::AlreadyRunning(begun) => Triggered::AlreadyRunning(begun.to_string()),
            Trigger::Unknown(sets) => Triggered::Unknown(sets),
            Trigger::Closed => Triggered::Closed,
        }
    }
}

fn figures(state: &SetState) -> PrefetchFigures {
    let (figures, last) = (&state.figures, state.last.as_deref());
    let (images, traffic) = (&figures.images, &figures.traffic);
    PrefetchFigures {
        set: state.name.clone(),
        is_running: state.under_way.is_some(),
        next: state.next.map(seconds),
        last_run: last.map(|last| seconds(last.ended)),
        last_success: last.and_then(|last| last.last_success).map(seconds),
        last_duration: last.map(|last| last.report.seconds),
        runs: vec![
            ("done", figures.done),
            ("partly", figures.partly),
            ("nothing", figures.nothing),
            ("interrupted", figures.interrupted),
        ],
        missed: figures.missed,
        images: vec![
            ("unchanged", images.unchanged),
            ("copied", images.copied),
            ("failed", images.failed),
            ("skipped", images.skipped),
            ("gone", images.gone),
            ("pruned", images.pruned),
        ],
        bytes: vec![
            ("fetched", traffic.fetched_bytes),
            ("uploaded", traffic.uploaded_bytes),
        ],
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}
