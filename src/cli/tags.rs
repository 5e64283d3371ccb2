use std::num::NonZeroUsize;

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use super::exit::Exit;
use super::exit::Failure;
use super::print;
use crate::app::tags;
use crate::app::tags::Question;
use crate::app::tags::Selected;
use crate::config::Config;
use crate::config::Source;
use crate::oci::Image;
use crate::oci::Repository;
use crate::prefetch::Filter;
use crate::prefetch::Order;
use crate::prefetch::Pattern;
use crate::prefetch::Ranges;
use crate::prefetch::Set;
use crate::prefetch::Since;
use crate::prefetch::TagSet;
use crate::prefetch::Verdict;

mod table;

/// Arguments of `tidegate tags`.
#[derive(Args, Debug)]
pub(super) struct TagsArgs {
    /// REGISTRY/REPOSITORY; with --set, in the place of the set's own sources
    #[arg(value_name = "REPOSITORY", required_unless_present = "set")]
    repository: Option<String>,
    /// Choose as this [[prefetch]] of the configuration does
    #[arg(long, value_name = "NAME", conflicts_with = "filter")]
    set: Option<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Speak plain HTTP with a registry that the configuration does not know
    #[arg(long)]
    plain_http: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// The keys of `tags` in a `[[prefetch]]`.
#[derive(Args, Debug)]
#[group(id = "filter", multiple = true)]
struct FilterArgs {
    /// Only tags that fit a glob, or a /regular expression/ (may be repeated)
    #[arg(long, value_name = "PATTERN")]
    include: Vec<Pattern>,
    /// No tags that fit (may be repeated)
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<Pattern>,
    /// Only versions in a range, such as ">=1.25, <2" (may be repeated)
    #[arg(long, value_name = "RANGE")]
    semver: Vec<Ranges>,
    /// Versions with a suffix, such as -rc1 or -alpine, too
    #[arg(long)]
    prerelease: bool,
    /// Only the last N
    #[arg(long, value_name = "N")]
    latest: Option<NonZeroUsize>,
    /// What makes a tag the last: semver, name or date
    #[arg(long, value_name = "ORDER", requires = "latest")]
    order: Option<Order>,
    /// No older ones: 2026-03-01, or 90d
    #[arg(long, value_name = "WHEN")]
    since: Option<Since>,
}

/// Runs `tidegate tags`.
pub(super) async fn run(args: &TagsArgs, source: &Source) -> Result<Exit, Failure> {
    let config = source.load()?;
    let set = match &args.set {
        Some(name) => named(name, &config).map_err(Failure::misused)?,
        None => tags::set(TagSet::Chosen(args.filter.filter())),
    };
    let question = match &args.repository {
        Some(text) => {
            let repository = repository(text, &config).map_err(Failure::misused)?;
            Question::of_repository(set, &repository, (&config, args.plain_http))
        }
        None => Question::of_set(set, &config),
    };
    let question = question.map_err(Failure::misused)?;
    let mut selected = question.ask(&config).await.map_err(Failure::nothing)?;
    selected.sort();
    for (what, why) in &selected.failed {
        tracing::error!("{what}: {why}");
    }
    if args.json {
        print::json(&told(&selected))?;
    } else {
        table::write(&selected, &mut std::io::stdout().lock())?;
    }
    let has_some = !selected.repositories.is_empty() || !selected.images.is_empty();
    Ok(match selected.failed.is_empty() {
        true => Exit::Done,
        false if has_some => Exit::Partly,
        false => Exit::Nothing,
    })
}

fn named(name: &str, config: &Config) -> anyhow::Result<Set> {
    let found = config.prefetch.iter().find(|set| *set.name == *name);
    if let Some(set) = found {
        return Ok(set.clone());
    }
    let names: Vec<&str> = config.prefetch.iter().map(|set| &*set.name).collect();
    match names.is_empty() {
        true => Err(anyhow!(
            "there is no set {name}: the configuration has no [[prefetch]]"
        )),
        false => Err(anyhow!("there is no set {name}, but {}", names.join(", "))),
    }
}

fn repository(text: &str, config: &Config) -> anyhow::Result<Repository> {
    let is_registry = |name: &str| {
        let mut upstreams = config.upstreams.iter();
        upstreams.any(|it| it.registry.name.as_str() == name)
    };
    let image = Image::read(text, is_registry)?;
    match (image.tag, image.digest) {
        (None, None) => Ok(image.repository),
        _ => Err(anyhow!(
            "{text} names one image; write the repository alone"
        )),
    }
}

impl FilterArgs {
    fn filter(&self) -> Filter {
        Filter {
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            semver: self.semver.iter().cloned().reduce(Ranges::or),
            prerelease: self.prerelease,
            latest: self.latest,
            order: self.order,
            since: self.since,
        }
    }
}

fn told(selected: &Selected) -> serde_json::Value {
    let tag = |judged: &crate::prefetch::Judged| match &judged.verdict {
        Verdict::In => json!({"tag": judged.tag.as_str(), "in": true}),
        Verdict::Out(why) => {
            json!({"tag": judged.tag.as_str(), "in": false, "why": why.to_string()})
        }
    };
    let repositories = selected.repositories.iter().map(|(repository, judged)| {
        let tags: Vec<_> = judged.iter().map(tag).collect();
        json!({"repository": repository.to_string(), "tags": tags})
    });
    let images = selected.images.iter().map(|image| {
        json!({
            "repository": image.repository.to_string(),
            "reference": image.reference.as_str(),
            "tag": image.tag.as_ref().map(ToString::to_string),
            "digest": image.digest.as_ref().map(ToString::to_string),
        })
    });
    let failed = selected.failed.iter();
    json!({
        "repositories": repositories.collect::<Vec<_>>(),
        "images": images.collect::<Vec<_>>(),
        "failed": failed.map(|(what, why)| json!({"what": what, "why": why})).collect::<Vec<_>>(),
    })
}
