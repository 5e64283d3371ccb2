//! A proxy has the store and the targets: it runs the sets, and is watched.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use serde_json::Value;

use super::interrupt;
use super::show;
use crate::cli::exit::Failure;
use crate::cli::running::Running;
use crate::prefetch::Report;
use crate::prefetch::Set;
use crate::prefetch::Snapshot;

/// How often the proxy is asked how far it is.
const GLANCE: Duration = Duration::from_millis(500);

/// Has the proxy run `sets`, and waits for their ends: their reports.
///
/// # Errors
/// When the proxy refuses, or ends. An interrupt only ends the watching.
pub(super) async fn run(
    mut running: Running,
    sets: &[Arc<Set>],
    quiet: bool,
) -> Result<Vec<Report>, Failure> {
    tracing::info!("a proxy runs with this store: it is asked to run the sets");
    let mut begun = Vec::new();
    for set in sets {
        let at = running
            .prefetch(&set.name)
            .await
            .map_err(Failure::nothing)?;
        begun.push((set.clone(), at));
    }
    let seen = std::sync::Mutex::new(vec![Snapshot::default(); sets.len()]);
    let look = || match seen.lock() {
        Ok(seen) => seen.clone(),
        Err(_) => Vec::new(),
    };
    tokio::select! {
        reports = followed(&mut running, &begun, &seen) => reports.map_err(Failure::nothing),
        never = show::show(look, quiet) => match never {},
        () = interrupt::heard() => Err(Failure::nothing(anyhow!(
            "interrupted: it is watched no more, and goes on in the proxy"
        ))),
    }
}

async fn followed(
    running: &mut Running,
    begun: &[(Arc<Set>, String)],
    seen: &std::sync::Mutex<Vec<Snapshot>>,
) -> anyhow::Result<Vec<Report>> {
    let mut reports: Vec<Option<Report>> = vec![None; begun.len()];
    loop {
        for (number, (set, at)) in begun.iter().enumerate() {
            if reports[number].is_some() {
                continue;
            }
            let state = running.set(&set.name).await?;
            let (snapshot, report) = (progress(&state), ended(&state, at));
            if let Ok(mut seen) = seen.lock()
                && let Some(snapshot) = snapshot
            {
                seen[number] = snapshot;
            }
            reports[number] = report;
        }
        if reports.iter().all(Option::is_some) {
            return Ok(reports.into_iter().flatten().collect());
        }
        tokio::time::sleep(GLANCE).await;
    }
}

fn progress(state: &Value) -> Option<Snapshot> {
    let progress = state.pointer("/running/progress")?;
    serde_json::from_value(progress.clone()).ok()
}

/// The report of the run that began then, or of a later one.
fn ended(state: &Value, begun: &str) -> Option<Report> {
    let is_running = state
        .pointer("/running/begun")
        .and_then(Value::as_str)
        .is_some_and(|at| at == begun);
    let report: Report = serde_json::from_value(state.pointer("/last/report")?.clone()).ok()?;
    let wanted: jiff::Timestamp = begun.parse().ok()?;
    (!is_running && report.begun >= wanted).then_some(report)
}
