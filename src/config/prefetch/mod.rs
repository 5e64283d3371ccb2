//! `[[prefetch]]`: what is kept warm.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;

use super::place::Flaw;
use super::upstream::Upstream;
use super::value::Several;
use crate::prefetch::Destination;
use crate::prefetch::Prune;
use crate::prefetch::Quiet;
use crate::prefetch::Schedule;
use crate::prefetch::Set;
use crate::prefetch::Source;
use crate::prefetch::TagSet;
use crate::prefetch::When;
use crate::target;

pub(super) mod file;
mod source;
mod tags;
mod value;

use file::Prefetch;
use value::Wording;

/// What the embedded store is called in `to`.
const STORE: &str = "store";
/// A run that would remove more tags than that has most likely been told something wrong.
const PRUNE_MAX: usize = 100;

/// What sets may come from and go to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registries<'a> {
    pub(super) upstreams: &'a [Upstream],
    pub(super) targets: &'a [target::Config],
    /// Whether the store keeps anything.
    pub(super) has_store: bool,
}

/// The configured sets, in the file's order; files of references are relative to `folder`.
pub(super) fn all(
    sets: Vec<Prefetch>,
    registries: Registries<'_>,
    folder: &Path,
) -> Result<Vec<Set>, Flaw> {
    let mut names = HashSet::new();
    for set in &sets {
        // It becomes a file's name, and file systems may not tell capitals apart.
        if !names.insert(set.name.get_ref().0.to_ascii_lowercase()) {
            let problem = "another set has this name already; choose another one";
            return Err(Flaw::at(&set.name, problem));
        }
    }
    let one = |set| one(set, registries, folder);
    sets.into_iter().map(one).collect()
}

fn one(set: Prefetch, registries: Registries<'_>, folder: &Path) -> Result<Set, Flaw> {
    let from = source::all(&set, registries, folder)?;
    let to = destinations(&set, registries)?;
    refuse_what_is_not_mirrored(&set, (&from, &to), registries)?;
    let tags = tags::read(set.tags.as_ref(), &from)?;
    let prune = prune(&set, &from, &tags)?;
    let schedule = schedule(&set)?;
    let values = |several: Option<Several<value::TagPattern>>| {
        let all = several.map_or_else(Vec::new, |several| several.0);
        all.into_iter().map(|it| it.into_inner().0).collect()
    };
    Ok(Set {
        name: set.name.into_inner().0.into(),
        from,
        tags,
        immutable: values(set.immutable),
        min_tags: set.min_tags.map_or(0, |count| count.0 as u64),
        platforms: match set.platforms {
            Some(list) if list.get_ref().0.is_empty() => {
                let problem = "the list is empty; for all platforms, leave it out";
                return Err(Flaw::at(&list, problem));
            }
            Some(list) => {
                let all = list.into_inner().0.into_iter();
                all.map(|platform| platform.into_inner().0).collect()
            }
            None => Vec::new(),
        },
        referrers: set.referrers.unwrap_or(true),
        to,
        verify: set.verify.map(|word| word.0).unwrap_or_default(),
        prune,
        prune_max: set.prune_max.map_or(PRUNE_MAX, |max| max.into_inner().0) as u64,
        schedule,
        quiet: set.quiet.map_or_else(Quiet::default, |hours| {
            let hours = hours.0.into_iter();
            Quiet::new(hours.map(|it| it.into_inner().0).collect())
        }),
        bandwidth: set.bandwidth.map(|bandwidth| bandwidth.0),
    })
}

fn destinations(set: &Prefetch, registries: Registries<'_>) -> Result<Vec<Destination>, Flaw> {
    let Some(list) = &set.to else {
        return match registries.has_store {
            true => Ok(vec![Destination::Store]),
            false => Err(Flaw::at(
                &set.name,
                "[store] enabled is false, so that nothing is kept there; name a target in `to`",
            )),
        };
    };
    let mut all = Vec::new();
    for word in &list.get_ref().0 {
        let to = destination(word, registries).map_err(|problem| Flaw::at(word, problem))?;
        if all.contains(&to) {
            return Err(Flaw::at(word, "it is in the list twice"));
        }
        all.push(to);
    }
    match all.is_empty() {
        true => Err(Flaw::at(
            list,
            "the list is empty; name \"store\", or targets",
        )),
        false => Ok(all),
    }
}

fn destination(word: &Spanned<Wording>, registries: Registries<'_>) -> Result<Destination, String> {
    let name = word.get_ref().0.as_str();
    if name == STORE {
        return match registries.has_store {
            true => Ok(Destination::Store),
            false => Err("[store] enabled is false, so that nothing is kept there".to_owned()),
        };
    }
    let names = registries.targets.iter();
    let names: Vec<&str> = names.map(|it| it.registry.name.as_str()).collect();
    match names.contains(&name) {
        true => Ok(Destination::Target(name.into())),
        false if names.is_empty() => Err(format!(
            "no [[target]] is called {name}, and there is none; possible here: {STORE}"
        )),
        false => Err(format!(
            "no [[target]] is called {name}; possible here: {STORE}, {}",
            names.join(", ")
        )),
    }
}

/// What a target's `only` leaves out would fail in each run.
fn refuse_what_is_not_mirrored(
    set: &Prefetch,
    (from, to): (&[Source], &[Destination]),
    registries: Registries<'_>,
) -> Result<(), Flaw> {
    let target = |name: &Arc<str>| {
        let mut all = registries.targets.iter();
        all.find(|it| it.registry.name.as_str() == &**name)
    };
    let targets = to.iter().filter_map(|to| match to {
        Destination::Target(name) => target(name),
        Destination::Store => None,
    });
    for target in targets {
        for (word, source) in set.from.0.iter().zip(from) {
            let repository = match source {
                Source::Repository(repository) | Source::Image { repository, .. } => repository,
                _ => continue,
            };
            if !target.only.passes(&repository.to_string()) {
                let name = &target.registry.name;
                let problem = format!("the target {name} is not for it: see `only` there");
                return Err(Flaw::at(word, problem));
            }
        }
    }
    Ok(())
}

/// Only what is listed can be found to be gone.
fn prune(set: &Prefetch, from: &[Source], tags: &TagSet) -> Result<Prune, Flaw> {
    let word = set.prune.as_ref();
    let prune = word.map(|word| word.get_ref().0).unwrap_or_default();
    let is_listed = tags.literal().is_none() && from.iter().any(source::is_listed);
    match (word, &set.prune_max) {
        (Some(word), _) if prune != Prune::Off && !is_listed => Err(Flaw::at(
            word,
            "no list of tags is asked for in this set, so that none can be found to be gone",
        )),
        (_, Some(max)) if prune == Prune::Off => Err(Flaw::at(
            max,
            "nothing is pruned in this set: there is no `prune`",
        )),
        _ => Ok(prune),
    }
}

fn schedule(set: &Prefetch) -> Result<Option<Schedule>, Flaw> {
    let when = match (&set.schedule, &set.every) {
        (Some(_), Some(every)) => {
            let problem = "there is a `schedule` as well; keep one of the two";
            return Err(Flaw::at(every, problem));
        }
        (Some(cron), None) => When::Cron(cron.get_ref().0.clone()),
        (None, Some(every)) => When::Every(every.get_ref().0),
        (None, None) => {
            return match &set.jitter {
                Some(jitter) => Err(Flaw::at(
                    jitter,
                    "there is neither `schedule` nor `every` that it could be about",
                )),
                None => Ok(None),
            };
        }
    };
    Ok(Some(Schedule {
        when,
        jitter: set.jitter.as_ref().map(|jitter| jitter.get_ref().0),
    }))
}

#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
