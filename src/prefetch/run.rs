//! One run of one set: images are begun as they are found, each a task of its own.

use std::collections::HashMap;
use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::Id;
use tokio::task::JoinError;
use tokio::task::JoinSet;

use super::Found;
use super::Item;
use super::ItemOutcome;
use super::Progress;
use super::Report;
use super::Set;
use super::Wanted;
use super::World;
use super::discover;
use super::progress::Reins;
use crate::flow::Bandwidth;
use crate::flow::Limited;
use crate::ledger::FlowId;
use crate::oci::Reference;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::target::Pace;

mod about;
mod image;
mod keep;
mod lists;
mod mirror;
mod patience;
mod prune;
mod record;
mod rehearsal;
mod tree;

pub use rehearsal::Rehearsal;

use image::Begun;
use lists::Lists;
use record::Record;

/// Images at a time: enough to keep windows full, few enough to be told on a terminal.
const AT_ONCE: usize = 64;
/// What may be found before it is begun.
const BACKLOG: usize = 256;

/// Brings all images of `set` to where they are to be. It never fails as a whole: what could not be
/// brought is in the report. Dropping the future breaks off what is under way; what was brought
/// stays known.
pub async fn run(set: &Set, world: &World, pace: Pace, watch: Arc<Progress>) -> Report {
    Run::over(set, world, pace, watch).done().await
}

/// What [`run`] would bring: sources are asked for tags and manifests, and nothing is changed
/// anywhere. What would cross the network stands in the report's traffic, but for requests: these
/// are the ones of the rehearsal.
pub async fn rehearse(
    set: &Set,
    world: &World,
    rehearsal: Rehearsal,
    watch: Arc<Progress>,
) -> Report {
    let run = Run::over(set, world, Pace::Background, watch);
    let rehearsal = Some(rehearsal);
    Run { rehearsal, ..run }.done().await
}

impl Run {
    fn over(set: &Set, world: &World, pace: Pace, watch: Arc<Progress>) -> Self {
        Self {
            set: Arc::new(set.clone()),
            world: world.clone(),
            pace,
            watch,
            record: Mutex::new(Record::new(world.tell)),
            rehearsal: None,
            bandwidth: set.bandwidth.map(|most| Arc::new(Bandwidth::new(most))),
        }
    }

    async fn done(self) -> Report {
        let (begun, clock) = (Timestamp::now(), Instant::now());
        let run = Arc::new(self);
        let interrupted = Work::new(run.clone()).run().await;
        let record = std::mem::take(&mut *run.record());
        Report {
            set: run.set.name.clone(),
            dry_run: run.rehearsal.is_some(),
            outcome: record.outcome(interrupted),
            begun,
            seconds: (clock.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            images: record.images,
            traffic: record.traffic,
            items: record.items,
            omitted: record.omitted,
        }
    }
}

/// What all tasks of a run share.
#[derive(Debug)]
struct Run {
    set: Arc<Set>,
    world: World,
    pace: Pace,
    watch: Arc<Progress>,
    record: Mutex<Record>,
    /// Where nothing is to be changed.
    rehearsal: Option<Rehearsal>,
    /// What its images share.
    bandwidth: Option<Arc<Bandwidth>>,
}

impl Run {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds what is fetched for `flow` to the set's bandwidth, until the drop.
    fn hold(&self, flow: FlowId) -> Option<Limited> {
        let bandwidth = self.bandwidth.as_ref()?;
        Some(self.world.flow.hold_to(bandwidth, flow))
    }

    /// An image has ended.
    fn ended(&self, item: Item) {
        let mut record = self.record();
        record.image(item);
        self.watch.counted(record.images);
    }
}

/// What is under way.
struct Work {
    run: Arc<Run>,
    tasks: JoinSet<()>,
    /// The images that are under way, by their tasks.
    images: HashMap<Id, Arc<Begun>>,
    begun: HashSet<(Repository, Reference, Option<Tag>)>,
    lists: Lists,
}

impl Work {
    fn new(run: Arc<Run>) -> Self {
        Self {
            run,
            tasks: JoinSet::new(),
            images: HashMap::new(),
            begun: HashSet::new(),
            lists: Lists::default(),
        }
    }

    /// Does all of it: whether it was stopped before its end.
    async fn run(mut self) -> bool {
        let run = self.run.clone();
        let (out, mut found) = mpsc::channel(BACKLOG);
        let counting = run.world.tally.count();
        let mut reins = run.watch.reins();
        run.watch.discovering(true);
        let stopped = {
            let discovery = async {
                let out = out;
                discover(&run.set, &run.world.sources, counting.flow, &out).await;
            };
            let mut discovery = pin!(discovery);
            let (mut is_discovering, mut has_more) = (true, true);
            loop {
                let Reins {
                    held,
                    stopped,
                    abandoned,
                } = *reins.borrow_and_update();
                if abandoned || (stopped && has_more && self.tasks.is_empty()) {
                    break true;
                }
                if !has_more && self.tasks.is_empty() {
                    break false;
                }
                let begins = !held && !stopped && self.tasks.len() < AT_ONCE;
                tokio::select! {
                    biased;
                    _ = reins.changed() => {}
                    Some(ended) = self.tasks.join_next_with_id() => self.end(ended),
                    () = &mut discovery, if is_discovering && !stopped => {
                        is_discovering = false;
                        run.watch.discovering(false);
                    }
                    next = found.recv(), if begins && has_more => match next {
                        None => has_more = false,
                        found => self.take(found),
                    },
                }
            }
        };
        run.watch.discovering(false);
        run.record().crossed(counting.meter.traffic());
        self.leave(found).await;
        // What a source did not tell of is not gone.
        let has_all = run.record().images.unasked == 0;
        if !stopped && has_all {
            prune::prune(&run, std::mem::take(&mut self.lists)).await;
        }
        stopped
    }

    fn take(&mut self, found: Option<Found>) {
        match found {
            Some(Found::Wanted(wanted)) => self.begin(wanted),
            Some(Found::Listed { repository, tags }) => {
                self.lists.told(&self.run.set, repository, tags);
            }
            Some(Found::Failed { what, why }) => {
                tracing::warn!(set = &*self.run.set.name, "{what} can't be asked: {why}");
                self.run.record().unasked(what, why);
            }
            None => {}
        }
    }

    /// Two sources may want the same.
    fn begin(&mut self, wanted: Wanted) {
        let key = (
            wanted.repository.clone(),
            wanted.reference.clone(),
            wanted.tag.clone(),
        );
        if !self.begun.insert(key) {
            return;
        }
        self.run.watch.found();
        let tags = self.lists.digest_tags(&wanted.repository);
        let begun = Begun::new(image::name(&wanted));
        let task = image::bring(self.run.clone(), begun.clone(), (wanted, tags));
        self.images.insert(self.tasks.spawn(task).id(), begun);
    }

    fn end(&mut self, ended: Result<(Id, ()), JoinError>) {
        let error = match ended {
            Ok((id, ())) => return drop(self.images.remove(&id)),
            Err(error) => error,
        };
        let Some(begun) = self.images.remove(&error.id()) else {
            return;
        };
        if !error.is_cancelled() {
            tracing::error!("{}: a task broke: {error}", begun.name);
        }
        // What refers to it may have been under way: of the image itself all is said then.
        if begun.is_entered() {
            return;
        }
        self.run.ended(match error.is_cancelled() {
            true => skipped(&begun.name),
            false => Item {
                image: begun.name.to_string(),
                outcome: ItemOutcome::Failed,
                why: Some("a bug ended it; the log says more".to_owned()),
                ..Item::default()
            },
        });
    }

    /// Breaks off what is under way, and counts what was not begun.
    async fn leave(&mut self, mut found: mpsc::Receiver<Found>) {
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.end(ended);
        }
        found.close();
        while let Ok(found) = found.try_recv() {
            if let Found::Wanted(wanted) = found {
                self.run.ended(skipped(&image::name(&wanted)));
            }
        }
    }
}

/// It was not begun, or broken off.
fn skipped(image: &str) -> Item {
    Item {
        image: image.to_owned(),
        outcome: ItemOutcome::Skipped,
        ..Item::default()
    }
}
