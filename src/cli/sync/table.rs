//! Reports, for people.

use std::io;
use std::io::Write;

use bytesize::ByteSize;

use crate::prefetch::Delivery;
use crate::prefetch::Item;
use crate::prefetch::ItemOutcome;
use crate::prefetch::Outcome;
use crate::prefetch::Report;

/// What became of each set, and of each image that changed or failed.
pub(super) fn reports(reports: &[Report], out: &mut dyn Write) -> io::Result<()> {
    reports.iter().try_for_each(|report| one(report, out))
}

fn one(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for it in &report.items {
        item(it, out)?;
    }
    if report.omitted > 0 {
        writeln!(out, "and {} more", report.omitted)?;
    }
    let images = &report.images;
    let all = images.unchanged + images.copied + images.failed + images.skipped;
    let ended = match (report.dry_run, report.outcome) {
        (true, Outcome::Done) => "nothing was changed, this is what would be",
        (_, outcome) => ended(outcome),
    };
    write!(out, "{}: {ended}; {all} images", report.set)?;
    for (count, what) in [
        (images.copied, "copied"),
        (images.unchanged, "unchanged"),
        (images.failed, "failed"),
        (images.skipped, "left out"),
        (images.gone, "gone at their source"),
        (images.pruned, "removed"),
        (images.referrers, "referrers copied"),
        (images.unasked, "sources not asked"),
    ] {
        if count > 0 {
            write!(out, ", {count} {what}")?;
        }
    }
    let traffic = &report.traffic;
    write!(
        out,
        "; {} fetched, {} uploaded, {} blobs mounted; {} requests at sources, {} at targets",
        ByteSize(traffic.fetched_bytes),
        ByteSize(traffic.uploaded_bytes),
        traffic.mounts,
        traffic.source_requests,
        traffic.target_requests,
    )?;
    if traffic.throttled > 0 {
        write!(out, ", {} answered by 429", traffic.throttled)?;
    }
    writeln!(out, "; {:.1} s", report.seconds)
}

fn ended(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Partly => "some failed",
        Outcome::Nothing => "nothing could be done",
        Outcome::Interrupted => "interrupted",
    }
}

fn item(item: &Item, out: &mut dyn Write) -> io::Result<()> {
    let word = match item.outcome {
        ItemOutcome::Unchanged => "unchanged",
        ItemOutcome::Copied => "copied",
        ItemOutcome::Failed => "FAILED",
        ItemOutcome::Skipped => "left out",
        ItemOutcome::Gone => "gone",
        ItemOutcome::Pruned => "removed",
    };
    write!(out, "{word:<9} {}", item.image)?;
    if let Some(digest) = &item.digest
        && !item.image.contains(digest.as_str())
    {
        write!(out, "  {digest}")?;
    }
    if let Some(about) = &item.about {
        write!(out, "  (refers to {about})")?;
    }
    for to in &item.to {
        delivery(to, out)?;
    }
    match &item.why {
        Some(why) => writeln!(out, ": {why}"),
        None => writeln!(out),
    }
}

fn delivery(delivery: &Delivery, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "  {}", delivery.to)?;
    if delivery.uploads > 0 {
        write!(out, " {}", ByteSize(delivery.upload_bytes))?;
    }
    if let Some(digest) = &delivery.digest {
        write!(out, " as {digest}, of the wanted platforms only")?;
    }
    match &delivery.why {
        Some(why) => write!(out, " failed: {why}"),
        None => Ok(()),
    }
}
