use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use serde_json::json;

use super::Cause;
use super::Record;
use crate::prefetch::Counts;
use crate::prefetch::Outcome;
use crate::prefetch::Progress;
use crate::prefetch::Report;
use crate::prefetch::Traffic;

/// How a set does.
#[derive(Clone, Debug)]
pub struct SetState {
    /// What it is called.
    pub name: Arc<str>,
    /// When it is run; `None` where only on request.
    pub schedule: Option<String>,
    /// When it is run next by itself.
    pub next: Option<Timestamp>,
    /// The run that is under way.
    pub under_way: Option<Under>,
    /// The last run that has ended, maybe in a life of the proxy before this one.
    pub last: Option<Arc<Record>>,
    /// What it has done since the start of the proxy.
    pub figures: Figures,
}

/// A run that is under way.
#[derive(Clone, Debug)]
pub struct Under {
    /// When it began.
    pub begun: Timestamp,
    /// Why.
    pub cause: Cause,
    /// Whether it begins nothing new, as these are quiet hours.
    pub is_held: bool,
    /// How far it is.
    pub progress: Arc<Progress>,
}

/// What runs of a set have done since the start of the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Runs that did all.
    pub done: u64,
    /// Runs that failed in part.
    pub partly: u64,
    /// Runs that did nothing.
    pub nothing: u64,
    /// Runs that were interrupted.
    pub interrupted: u64,
    /// Runs that were due while one was under way, and left out.
    pub missed: u64,
    /// What became of their images, all together.
    pub images: Counts,
    /// What crossed the network for them, all together.
    pub traffic: Traffic,
}

impl SetState {
    /// As JSON; the images of the last run where it is to be `whole`.
    pub fn json(&self, whole: bool) -> Value {
        let mut last = json!(self.last);
        if !whole && let Some(report) = last.pointer_mut("/report").and_then(Value::as_object_mut) {
            report.remove("items");
            report.remove("omitted");
        }
        let figures = &self.figures;
        json!({
            "name": self.name,
            "schedule": self.schedule,
            "next_run": self.next,
            "running": self.under_way.as_ref().map(Under::json),
            "last": last,
            "runs": {
                "done": figures.done,
                "partly": figures.partly,
                "nothing": figures.nothing,
                "interrupted": figures.interrupted,
                "missed": figures.missed,
            },
        })
    }
}

impl Under {
    fn json(&self) -> Value {
        json!({
            "begun": self.begun,
            "cause": self.cause,
            "held": self.is_held,
            "progress": self.progress.snapshot(),
        })
    }
}

impl Figures {
    pub(super) fn add(&mut self, report: &Report) {
        *match report.outcome {
            Outcome::Done => &mut self.done,
            Outcome::Partly => &mut self.partly,
            Outcome::Nothing => &mut self.nothing,
            Outcome::Interrupted => &mut self.interrupted,
        } += 1;
        let (images, new) = (&mut self.images, &report.images);
        for (sum, new) in [
            (&mut images.unchanged, new.unchanged),
            (&mut images.copied, new.copied),
            (&mut images.failed, new.failed),
            (&mut images.skipped, new.skipped),
            (&mut images.gone, new.gone),
            (&mut images.pruned, new.pruned),
            (&mut images.unasked, new.unasked),
            (&mut images.referrers, new.referrers),
        ] {
            *sum += new;
        }
        let (traffic, new) = (&mut self.traffic, &report.traffic);
        for (sum, new) in [
            (&mut traffic.source_requests, new.source_requests),
            (&mut traffic.target_requests, new.target_requests),
            (&mut traffic.throttled, new.throttled),
            (&mut traffic.fetched_bytes, new.fetched_bytes),
            (&mut traffic.uploaded_bytes, new.uploaded_bytes),
            (&mut traffic.uploads, new.uploads),
            (&mut traffic.mounts, new.mounts),
            (&mut traffic.known, new.known),
        ] {
            *sum += new;
        }
    }
}

/// Tells the log how a run ended.
pub(super) fn tell(report: &Report) {
    let images = &report.images;
    let summary = format!(
        "{} images unchanged, {} copied, {} failed, {} sources not asked, in {:.1} s",
        images.unchanged, images.copied, images.failed, images.unasked, report.seconds,
    );
    let set = &*report.set;
    match report.outcome {
        Outcome::Done => tracing::info!(set, "a prefetch is done: {summary}"),
        Outcome::Interrupted => tracing::warn!(set, "a prefetch was interrupted: {summary}"),
        Outcome::Partly | Outcome::Nothing => {
            let why = report.items.iter().find_map(|item| item.why.as_deref());
            let why = why.unwrap_or("nothing is said of why");
            tracing::warn!(set, "a prefetch failed, first of all: {why}; {summary}");
        }
    }
}
