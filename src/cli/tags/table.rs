//! What is selected, for a person.

use std::collections::HashSet;
use std::io;
use std::io::Write;

use crate::app::tags::Selected;
use crate::oci::Repository;
use crate::prefetch::Judged;
use crate::prefetch::Verdict;
use crate::prefetch::Wanted;

/// A table for each repository, then the images that are named one by one, then how many.
pub(super) fn write(selected: &Selected, out: &mut dyn Write) -> io::Result<()> {
    for (repository, judged) in &selected.repositories {
        let wanted = judged.iter().filter(|it| it.verdict == Verdict::In);
        let count = wanted.count();
        writeln!(out, "{repository}: {count} of {} tags", judged.len())?;
        tags(judged, out)?;
        writeln!(out)?;
    }
    let listed: HashSet<&Repository> = selected.repositories.iter().map(|(it, _)| it).collect();
    let mut named = selected.images.iter();
    let named: Vec<&Wanted> = named
        .by_ref()
        .filter(|it| !listed.contains(&it.repository))
        .collect();
    if !named.is_empty() {
        writeln!(out, "named one by one:")?;
    }
    for image in &named {
        writeln!(out, "  IN   {}", written(image))?;
    }
    if !named.is_empty() {
        writeln!(out)?;
    }
    let images = match selected.images.len() {
        1 => "1 image".to_owned(),
        images => format!("{images} images"),
    };
    match selected.failed.len() {
        0 => writeln!(out, "{images}"),
        failed => writeln!(out, "{images}; {failed} could not be asked"),
    }
}

fn tags(judged: &[Judged], out: &mut dyn Write) -> io::Result<()> {
    let width = judged.iter().map(|it| it.tag.as_str().len()).max();
    let width = width.unwrap_or(0);
    for Judged { tag, verdict } in judged {
        match verdict {
            Verdict::In => writeln!(out, "  IN   {tag}")?,
            Verdict::Out(why) => writeln!(out, "  OUT  {:<width$}  {why}", tag.as_str())?,
        }
    }
    Ok(())
}

fn written(image: &Wanted) -> String {
    let repository = &image.repository;
    match (&image.tag, &image.digest) {
        (Some(tag), Some(digest)) => format!("{repository}:{tag}@{digest}"),
        (Some(tag), None) => format!("{repository}:{tag}"),
        (None, _) => format!("{repository}@{}", image.reference),
    }
}
