//! Begins errands when there is room for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::task::Id;
use tokio::task::JoinError;
use tokio::task::JoinSet;

use super::Errand;
use super::Error;
use super::Mirrored;
use super::Supply;
use super::agenda::Entry;
use super::errand::Work;
use super::planner::Planner;
use super::remote::ERRANDS;
use super::remote::Outcome;
use super::remote::Remote;

/// Runs what is owed to `remote` until it is closed. Dropping the future breaks off what is under
/// way: it is owed still.
pub(super) async fn run(remote: Arc<Remote>, supply: Arc<dyn Supply>) {
    let (planner, planning) = Planner::new(remote.clone());
    let dispatch = Dispatch {
        remote,
        supply,
        planner,
        errands: JoinSet::new(),
        begun: HashMap::new(),
    };
    tokio::join!(dispatch.run(), planning);
}

struct Dispatch {
    remote: Arc<Remote>,
    supply: Arc<dyn Supply>,
    planner: Planner,
    errands: JoinSet<Outcome>,
    begun: HashMap<Id, Begun>,
}

struct Begun {
    id: u64,
    errand: Errand,
    at: Instant,
    /// What the target had taken before.
    taken: u64,
}

/// A timer's longest life, where there is nothing to wait for.
const AN_HOUR: Duration = Duration::from_secs(3600);

impl Dispatch {
    async fn run(mut self) {
        while !self.remote.is_over() {
            for (id, entry) in self.remote.take(ERRANDS - self.errands.len()) {
                self.begin(id, entry);
            }
            let later = Instant::now() + AN_HOUR;
            let has_room = self.errands.len() < ERRANDS;
            let next = self.remote.next_time().unwrap_or(later).min(later);
            tokio::select! {
                () = self.remote.bell.notified() => {}
                Some(ended) = self.errands.join_next_with_id() => self.end(ended),
                () = tokio::time::sleep_until(next.into()), if has_room => {}
            }
        }
    }

    fn begin(&mut self, id: u64, entry: Entry) {
        let begun = Begun {
            id,
            errand: entry.errand.clone(),
            at: Instant::now(),
            taken: self.remote.counts.taken(),
        };
        let work = Work::new(self.remote.clone(), self.supply.clone(), (id, entry));
        let planner = self.planner.clone();
        let task = async move { work?.run(&planner).await };
        self.begun.insert(self.errands.spawn(task).id(), begun);
    }

    fn end(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let (task, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!("an errand broke: {error}");
                (
                    error.id(),
                    Err(Error::GivenUp("a bug ended it; the log says more")),
                )
            }
        };
        if let Some(begun) = self.begun.remove(&task) {
            self.tell(&begun, &outcome);
            self.remote.ended(begun.id, &outcome, begun.taken);
        }
    }

    fn tell(&self, begun: &Begun, outcome: &Outcome) {
        let target = &*self.remote.name;
        let image = image(&begun.errand);
        match outcome {
            Ok(done) if *done == Mirrored::default() => {
                tracing::debug!(target, image, "there already");
            }
            Ok(done) => tracing::info!(
                target,
                image,
                digest = begun.errand.digest.as_str(),
                bytes = done.upload_bytes,
                uploads = done.uploads,
                mounts = done.mounts,
                seconds = begun.at.elapsed().as_secs_f64(),
                "mirrored"
            ),
            Err(Error::Waits { why, .. }) => tracing::debug!(target, image, "{why}"),
            // One line for an outage is enough: it is said where it begins.
            Err(error) if self.remote.is_out() => tracing::debug!(target, image, "{error}"),
            Err(error) => tracing::warn!(target, image, "not mirrored: {error}"),
        }
    }
}

/// As people write it.
fn image(errand: &Errand) -> String {
    let repository = &errand.repository;
    match &errand.tag {
        Some(tag) => format!("{repository}:{tag}"),
        None => format!("{repository}@{}", errand.digest),
    }
}
