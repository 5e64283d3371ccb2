use std::path::Path;

use super::Finding;
use crate::config::Config;
use crate::prefetch::Destination;
use crate::prefetch::Set;
use crate::prefetch::Source;
use crate::prefetch::named_in;

/// What a set would ask for. Files of references are read; nobody is asked.
pub(super) fn check(set: &Set, config: &Config) -> Finding {
    let told: Vec<_> = set.from.iter().map(|it| source(it, config)).collect();
    let problem = told.iter().find_map(|it| it.as_ref().err());
    let name = format!("prefetch {}", set.name);
    if let Some(problem) = problem {
        return Finding {
            name,
            ok: false,
            detail: problem.clone(),
            advice: Some("all else of the set can be done; mend the file, and check again"),
        };
    }
    let from: Vec<String> = told.into_iter().flatten().collect();
    let to: Vec<&str> = set.to.iter().map(destination).collect();
    let schedule = match &set.schedule {
        Some(schedule) => schedule.to_string(),
        None => "when it is asked for".to_owned(),
    };
    Finding {
        name,
        ok: true,
        detail: format!("{} to {}, {schedule}", from.join(", "), to.join(", ")),
        advice: None,
    }
}

fn destination(to: &Destination) -> &str {
    match to {
        Destination::Store => "the store",
        Destination::Target(name) => name,
    }
}

fn source(source: &Source, config: &Config) -> Result<String, String> {
    Ok(match source {
        Source::Repository(repository) => repository.to_string(),
        Source::Image {
            repository,
            reference,
        } => format!("{repository} {reference}"),
        Source::Catalog { upstream, pattern } | Source::Quay { upstream, pattern } => {
            format!("{upstream}/{pattern}")
        }
        Source::Release(release) => release.to_string(),
        Source::References(file) => return references(file, config),
    })
}

/// How many images a file names; what is wrong with its first wrong line, and how many there are.
fn references(file: &Path, config: &Config) -> Result<String, String> {
    let path = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{path}: {error}"))?;
    let knows = |name: &str| {
        let mut upstreams = config.upstreams.iter();
        upstreams.any(|it| it.registry.name.as_str() == name)
    };
    let all = named_in(&text, knows);
    let problem = |named: &crate::prefetch::Named| match &named.image {
        Ok(image) if knows(image.repository.upstream.as_str()) => None,
        Ok(image) => Some(format!(
            "{path}:{}: {} is no configured upstream",
            named.line, image.repository.upstream
        )),
        Err(why) => Some(format!("{path}:{}: {why}", named.line)),
    };
    let problems: Vec<String> = all.iter().filter_map(problem).collect();
    match (&problems[..], all.len()) {
        ([], 0) => Err(format!("{path} names no image")),
        ([], 1) => Ok(format!("{path} (1 image)")),
        ([], count) => Ok(format!("{path} ({count} images)")),
        ([one], _) => Err(one.clone()),
        ([first, rest @ ..], _) => Err(format!("{first} (and {} more like it)", rest.len())),
    }
}
