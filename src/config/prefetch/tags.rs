use toml::Spanned;

use super::file::Filter;
use super::file::Tags;
use super::source;
use super::value::TagPattern;
use crate::config::place::Flaw;
use crate::config::value::Several;
use crate::prefetch;
use crate::prefetch::Pattern;
use crate::prefetch::Source;
use crate::prefetch::TagSet;

/// Which tags of `from` are wanted; all, where nothing is said.
pub(super) fn read(tags: Option<&Spanned<Tags>>, from: &[Source]) -> Result<TagSet, Flaw> {
    let Some(tags) = tags else {
        return Ok(TagSet::default());
    };
    if !from.iter().any(source::is_listed) {
        let problem = "nothing in `from` has tags to choose from: each image there is named";
        return Err(Flaw::at(tags, problem));
    }
    match tags.get_ref() {
        Tags::List(list) if list.is_empty() => {
            let problem = "the list is empty; for all tags, leave it out";
            Err(Flaw::at(tags, problem))
        }
        Tags::List(list) => {
            let mut all = Vec::new();
            for tag in list {
                if all.contains(&tag.get_ref().0) {
                    return Err(Flaw::at(tag, "it is in the list twice"));
                }
                all.push(tag.get_ref().0.clone());
            }
            Ok(TagSet::Literal(all.into()))
        }
        Tags::Filter(filter) => Ok(TagSet::Chosen(chosen(filter)?)),
    }
}

fn chosen(filter: &Filter) -> Result<prefetch::Filter, Flaw> {
    if let (Some(order), None) = (&filter.order, filter.latest) {
        let problem = "it is the order of `latest`, which is not here";
        return Err(Flaw::at(order, problem));
    }
    if let (Some(prerelease), None, None) = (&filter.prerelease, &filter.semver, filter.latest) {
        let problem = "it is about `semver` and `latest`, and neither is here";
        return Err(Flaw::at(prerelease, problem));
    }
    let ranges = filter.semver.iter().flat_map(|several| &several.0);
    let ranges = ranges.map(|range| range.get_ref().0.clone());
    Ok(prefetch::Filter {
        include: patterns(filter.include.as_ref()),
        exclude: patterns(filter.exclude.as_ref()),
        semver: ranges.reduce(prefetch::Ranges::or),
        prerelease: filter.prerelease.as_ref().is_some_and(|it| *it.get_ref()),
        latest: filter.latest.and_then(|count| count.0.try_into().ok()),
        order: filter.order.as_ref().map(|order| order.get_ref().0),
        since: filter.since.map(|since| since.0),
    })
}

fn patterns(several: Option<&Several<TagPattern>>) -> Vec<Pattern> {
    let all = several.iter().flat_map(|several| &several.0);
    all.map(|pattern| pattern.get_ref().0.clone()).collect()
}
