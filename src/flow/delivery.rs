//! One blob's segments under way, from the first to the last.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;
use tokio::time::Interval;
use tokio::time::MissedTickBehavior;

use super::Error;
use super::coverage::Coverage;
use super::coverage::Segment;
use super::parallel::LOOK;
use super::parallel::NoUse;
use super::parallel::Parallel;
use super::parallel::Ranges;
use super::parallel::Seen;
use super::parallel::Step;
use super::segment::Ended;
use super::segment::Source;
use crate::registry::FetchedBlob;
use crate::registry::Reading;

/// Fetches all of a growing blob: what the first request brings, what readers far ahead split off,
/// what others left, and, where one request is slow, further ranges, part by part, in their order.
///
/// Promise: no byte is asked for twice, but for what is in flight where a request is cut short; and
/// a further range that is refused fails nothing. A drop ends all of it.
#[derive(Debug)]
pub(super) struct Delivery {
    source: Arc<Source>,
    splits: mpsc::UnboundedReceiver<Segment>,
    segments: JoinSet<Result<Ended, Error>>,
    parallel: Parallel,
    looks: Option<Interval>,
    /// How the first request's connection is read from.
    reading: Option<Reading>,
    /// Whether there was no room for a further range, since the last look.
    is_full: bool,
    /// Hashes what came out of order.
    hashing: Option<JoinHandle<io::Result<()>>>,
}

impl Delivery {
    /// Of a growing blob whose `first` segment `fetched` brings.
    pub(super) fn new(
        source: Arc<Source>,
        splits: mpsc::UnboundedReceiver<Segment>,
        (first, fetched): (Option<Segment>, FetchedBlob),
        ranges: Ranges,
    ) -> Self {
        let ranges = match fetched.found.has_ranges() {
            true => ranges,
            false => Ranges::default(),
        };
        source.learn(&fetched.found);
        let reading = fetched.body.reading();
        let parallel = Parallel::new(ranges, source.growing.size(), Instant::now());
        let looks = (!parallel.is_over()).then(|| {
            let mut looks = tokio::time::interval(LOOK);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            looks
        });
        let mut segments = JoinSet::new();
        if let Some(first) = first {
            segments.spawn(source.clone().fetch(first.id, Some(fetched)));
        }
        Self {
            source,
            splits,
            segments,
            parallel,
            looks,
            reading,
            is_full: false,
            hashing: None,
        }
    }

    /// Runs until all bytes are there.
    ///
    /// # Errors
    /// When the upstream can't or won't deliver the rest, or the disk refuses.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        while !self.coverage(|coverage| coverage.is_whole()) {
            self.fill_gaps();
            tokio::select! {
                Some(split) = self.splits.recv() => {
                    self.segments.spawn(self.source.clone().fetch(split.id, None));
                }
                Some(ended) = self.segments.join_next() => {
                    self.ended(ended.unwrap_or(Err(Error::GivenUp("a transfer was broken off")))?);
                }
                () = self.source.answered.notified() => {
                    let seen = self.seen();
                    self.parallel.answered(seen);
                }
                () = next(&mut self.looks) => self.look(),
            }
        }
        Ok(())
    }

    fn fill_gaps(&mut self) {
        let places = self.parallel.places(self.source.share.fills());
        while let Some(gap) = self.next_gap(places) {
            let source = self.source.clone();
            // The only one stands in line for its turn, as any request does.
            let is_further = places.is_some() && !self.segments.is_empty();
            match is_further {
                true => self.segments.spawn(source.further(gap.id)),
                false => self.segments.spawn(source.fetch(gap.id, None)),
            };
        }
    }

    fn next_gap(&self, places: Option<usize>) -> Option<Segment> {
        let busy = self.segments.len();
        let has_room = match places {
            None => true,
            Some(_) if self.is_full || self.source.share.is_in_the_way() => busy == 0,
            Some(places) => busy < places,
        };
        match has_room {
            true => self.coverage(Coverage::fill_gap),
            false => None,
        }
    }

    fn ended(&mut self, ended: Ended) {
        let why = match ended {
            Ended::Whole => {
                self.hash();
                return;
            }
            Ended::Postponed => {
                self.is_full = true;
                if self.parallel.postponed() {
                    self.coverage(Coverage::end_parts);
                }
                return;
            }
            Ended::Refused => NoUse::Refused,
            Ended::Ignored => NoUse::Ignored,
        };
        self.parallel.stop(why, Instant::now());
        self.coverage(Coverage::end_parts);
    }

    fn look(&mut self) {
        self.is_full = false;
        let is_ahead = self.reading.as_mut().is_none_or(Reading::is_ahead);
        let seen = Seen {
            is_ahead,
            ..self.seen()
        };
        match self.parallel.look(seen) {
            Step::Stay => {}
            Step::Begin => {
                let part = self.parallel.part();
                if !self.coverage(|coverage| coverage.begin_parts(part)) {
                    self.parallel.postponed();
                }
            }
            Step::End => self.coverage(Coverage::end_parts),
        }
        if self.parallel.is_over() {
            self.looks = None;
        }
    }

    fn seen(&self) -> Seen {
        let share = &self.source.share;
        Seen {
            now: Instant::now(),
            arrived: self.coverage(|coverage| coverage.arrived()),
            fills: share.fills(),
            is_held: share.is_held(),
            is_ahead: true,
        }
    }

    /// Where a segment has come to the start of another one, what that has brought is next: it is
    /// hashed beside the transfer, so that little is left for the end.
    fn hash(&mut self) {
        let is_busy = self.hashing.as_ref().is_some_and(|it| !it.is_finished());
        if !is_busy && !self.segments.is_empty() {
            let growing = self.source.growing.clone();
            // An error comes again when the verdict is due.
            self.hashing = Some(tokio::task::spawn_blocking(move || growing.catch_up()));
        }
    }

    fn coverage<T>(&self, look: impl FnOnce(&mut Coverage) -> T) -> T {
        self.source.growing.coverage(look)
    }
}

/// When to look again; never, where there is no need to.
async fn next(looks: &mut Option<Interval>) {
    match looks {
        Some(looks) => {
            looks.tick().await;
        }
        None => pending().await,
    }
}
