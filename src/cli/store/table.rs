//! What `tidegate store` found, for a person.

use std::io;
use std::io::Write;

use bytesize::ByteSize;

use super::Removed;
use crate::store::gc;
use crate::store::inspect::DiskUsage;
use crate::store::inspect::Repository;
use crate::store::inspect::Share;
use crate::store::inspect::Tag;
use crate::store::verify;

/// A line for each tag, and for each repository without one.
pub(super) fn repositories(repositories: &Vec<Repository>, out: &mut dyn Write) -> io::Result<()> {
    for repository in repositories {
        if repository.tags.is_empty() {
            let name = &repository.repository;
            writeln!(out, "{name}  manifests: {}, no tags", repository.manifests)?;
        }
        for tag in &repository.tags {
            writeln!(out, "{}:{}", repository.repository, line(tag))?;
        }
    }
    Ok(())
}

fn line(tag: &Tag) -> String {
    let Tag {
        tag: name,
        digest,
        size,
        missing,
        ..
    } = tag;
    let confirmed = humantime::format_rfc3339_seconds(tag.confirmed);
    let missing = match missing {
        0 => String::new(),
        some => format!("  ({some} parts not stored)"),
    };
    format!(
        "{name}  {digest}  {}  {confirmed}{missing}",
        ByteSize(*size)
    )
}

/// A line for each repository, each upstream, and all of it.
pub(super) fn usage(usage: &DiskUsage, out: &mut dyn Write) -> io::Result<()> {
    for upstream in &usage.upstreams {
        for repository in &upstream.repositories {
            let parts = parts(repository.unique, repository.shared);
            writeln!(out, "{parts}  {}", repository.repository)?;
        }
        writeln!(
            out,
            "{}  {}/",
            parts(upstream.unique, upstream.shared),
            upstream.upstream
        )?;
    }
    if usage.unlinked.blobs > 0 {
        let bytes = ByteSize(usage.unlinked.bytes).to_string();
        writeln!(
            out,
            "{bytes:>10}  of no repository: `tidegate store gc` removes it"
        )?;
    }
    let bytes = ByteSize(usage.bytes).to_string();
    writeln!(
        out,
        "{bytes:>10}  in all, {} blobs and manifests",
        usage.blobs
    )
}

fn parts(unique: Share, shared: Share) -> String {
    let (unique, shared) = (
        ByteSize(unique.bytes).to_string(),
        ByteSize(shared.bytes).to_string(),
    );
    format!("{unique:>10} own, {shared:>10} shared")
}

/// A line for each problem, then the sum.
pub(super) fn verified(report: &verify::Report, out: &mut dyn Write) -> io::Result<()> {
    for problem in &report.problems {
        let removed = if problem.removed { "; removed" } else { "" };
        writeln!(
            out,
            "wrong   {}: {}{removed}",
            problem.subject, problem.detail
        )?;
    }
    let verify::Report {
        blobs,
        bytes,
        links,
        problems,
        missing,
    } = report;
    let bytes = ByteSize(*bytes);
    writeln!(
        out,
        "{blobs} blobs and manifests ({bytes}) and {links} links checked: {} wrong; {} named but \
         not stored, which a pull fetches",
        problems.len(),
        missing.len(),
    )?;
    if report.is_sound() {
        return Ok(());
    }
    writeln!(
        out,
        "`tidegate store verify --repair` removes what is wrong; a pull fetches it again"
    )
}

/// One line.
pub(super) fn collected(report: &gc::Report, out: &mut dyn Write) -> io::Result<()> {
    let gc::Report {
        blobs,
        bytes,
        links,
        tags,
        folders,
        leftovers,
        serving,
    } = report;
    let bytes = ByteSize(*bytes);
    writeln!(
        out,
        "removed {blobs} blobs and manifests ({bytes}), {links} links, {tags} tags, {folders} \
         empty folders and {leftovers} unfinished files"
    )?;
    if *serving {
        let grace = humantime::format_duration(gc::GRACE);
        writeln!(
            out,
            "a tidegate serves from this store: what is younger than {grace} was kept"
        )?;
    }
    Ok(())
}

/// A line for each argument.
pub(super) fn removed(removed: &Vec<Removed>, out: &mut dyn Write) -> io::Result<()> {
    for one in removed {
        match (&one.report, &one.error) {
            (Some(report), _) => writeln!(
                out,
                "removed {}: {} tags, {} manifests and {} blobs of repositories, {} in the store ({})",
                one.what,
                report.tags,
                report.manifests,
                report.links,
                report.blobs,
                ByteSize(report.bytes),
            )?,
            (None, error) => {
                let why = error.as_deref().unwrap_or_default();
                writeln!(out, "failed  {}: {why}", one.what)?;
            }
        }
    }
    Ok(())
}
