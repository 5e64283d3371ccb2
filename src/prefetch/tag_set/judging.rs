use std::cmp::Reverse;

use jiff::Timestamp;

use super::Filter;
use super::Judged;
use super::Listed;
use super::Order;
use super::Verdict;
use super::Why;
use super::order::naturally;
use super::version::Version;

/// The tags of one repository, while their dates are not all known.
///
/// Dates cost requests. So the verdict that needs none comes first, and then only those dates are
/// asked for that may still decide something: with `latest = 5`, of the five latest, and of the next
/// ones where some of these are too old.
#[derive(Debug)]
pub(in crate::prefetch) struct Judging<'a> {
    filter: &'a Filter,
    listed: &'a [Listed],
    since: Option<Timestamp>,
    /// What is known without a date: why it is out, if it is.
    out: Vec<Option<Why>>,
    dates: Vec<Option<Result<Timestamp, String>>>,
    /// Those that are not out, the latest first; by date, in no order.
    open: Vec<usize>,
    order: Order,
}

/// What is known so far.
struct Walk {
    verdicts: Vec<Verdict>,
    /// Those whose dates decide.
    undated: Vec<usize>,
}

impl<'a> Judging<'a> {
    /// All that can be said of `listed` without asking for dates, in a run that began `now`.
    pub(in crate::prefetch) fn new(
        filter: &'a Filter,
        listed: &'a [Listed],
        now: Timestamp,
    ) -> Self {
        let name = |it: &'a Listed| it.tag.as_str();
        let versions: Vec<_> = listed.iter().map(|it| Version::of(name(it))).collect();
        let named: Vec<_> = listed.iter().map(|it| by_name(filter, name(it))).collect();
        let is_version =
            |(version, out): (&Option<_>, &Option<_>)| version.is_some() && out.is_none();
        let order =
            filter
                .order
                .unwrap_or_else(|| match versions.iter().zip(&named).any(is_version) {
                    true => Order::Semver,
                    false => Order::Name,
                });
        let by_versions =
            filter.semver.is_some() || (filter.latest.is_some() && order == Order::Semver);
        let judge = |(index, out): (usize, Option<Why>)| match by_versions && out.is_none() {
            true => by_version(filter, name(&listed[index]), versions[index].as_ref()),
            false => out,
        };
        let out: Vec<_> = named.into_iter().enumerate().map(judge).collect();
        let mut open: Vec<_> = (0..listed.len()).filter(|&it| out[it].is_none()).collect();
        open.sort_by(|&one, &other| {
            let names = naturally(name(&listed[other]), name(&listed[one]));
            match order {
                Order::Semver => versions[other].cmp(&versions[one]).then(names),
                Order::Name | Order::Date => names,
            }
        });
        Self {
            filter,
            listed,
            since: filter.since.map(|since| since.counted_from(now)),
            out,
            dates: listed.iter().map(|it| it.pushed.map(Ok)).collect(),
            open,
            order,
        }
    }

    /// The tags whose dates are to be told next; none where all is known.
    pub(in crate::prefetch) fn undated(&self) -> Vec<usize> {
        self.walk().undated
    }

    /// The date of a tag, or why it has none.
    pub(in crate::prefetch) fn tell(&mut self, index: usize, date: Result<Timestamp, String>) {
        if let Some(known) = self.dates.get_mut(index) {
            *known = Some(date);
        }
    }

    /// A verdict for each tag, in their order.
    pub(in crate::prefetch) fn verdicts(self) -> Vec<Judged> {
        let walk = self.walk();
        let mut verdicts = walk.verdicts;
        for index in walk.undated {
            verdicts[index] = Verdict::Out(Why::Undated("the source does not tell it".to_owned()));
        }
        let tags = self.listed.iter().map(|it| it.tag.clone());
        tags.zip(verdicts)
            .map(|(tag, verdict)| Judged { tag, verdict })
            .collect()
    }

    /// From the latest on; who has no date yet counts as wanted.
    fn walk(&self) -> Walk {
        let latest = self.filter.latest.map_or(usize::MAX, |count| count.get());
        let not_latest = Why::NotLatest {
            count: latest,
            order: self.order,
        };
        let mut walk = Walk {
            verdicts: self.out.iter().cloned().map(Verdict::from).collect(),
            undated: Vec::new(),
        };
        let mut wanted = 0;
        for index in self.sorted() {
            let verdict = match self.by_date(index) {
                Some(Some(why)) => Verdict::Out(why),
                // None is left out for another before all dates are known.
                None if self.is_by_date() => {
                    walk.undated.push(index);
                    continue;
                }
                _ if wanted == latest => Verdict::Out(not_latest.clone()),
                None => {
                    walk.undated.push(index);
                    Verdict::In
                }
                Some(None) => Verdict::In,
            };
            wanted += usize::from(verdict == Verdict::In);
            walk.verdicts[index] = verdict;
        }
        walk
    }

    fn is_by_date(&self) -> bool {
        self.order == Order::Date && self.filter.latest.is_some()
    }

    fn sorted(&self) -> Vec<usize> {
        let mut open = self.open.clone();
        if self.is_by_date() {
            // Stable: of the same age, the later name comes first.
            open.sort_by_key(|&index| Reverse(self.dates[index].clone().and_then(Result::ok)));
        }
        open
    }

    /// Why a tag is out by its date, if it is; `None` where that is not known yet.
    fn by_date(&self, index: usize) -> Option<Option<Why>> {
        if self.since.is_none() && !self.is_by_date() {
            return Some(None);
        }
        Some(match (self.dates[index].as_ref()?, self.since) {
            (Err(why), _) => Some(Why::Undated(why.clone())),
            (&Ok(date), Some(since)) if date < since => Some(Why::Older { date, since }),
            (Ok(_), _) => None,
        })
    }
}

impl From<Option<Why>> for Verdict {
    fn from(out: Option<Why>) -> Self {
        out.map_or(Self::In, Self::Out)
    }
}

fn by_name(filter: &Filter, tag: &str) -> Option<Why> {
    if is_made_of_digest(tag) {
        return Some(Why::About);
    }
    if let Some(excluding) = filter.exclude.iter().find(|it| it.fits(tag)) {
        return Some(Why::Excluded(excluding.to_string()));
    }
    let included = filter.include.is_empty() || filter.include.iter().any(|it| it.fits(tag));
    (!included).then_some(Why::NotIncluded)
}

fn by_version(filter: &Filter, tag: &str, version: Option<&Version>) -> Option<Why> {
    let Some(version) = version else {
        return Some(Why::NoVersion);
    };
    let wants_suffix = |it: &&super::Pattern| it.names_suffix() && it.fits(tag);
    let prerelease = filter.prerelease || filter.include.iter().any(|it| wants_suffix(&it));
    if let Some(ranges) = &filter.semver {
        return match version.suffix() {
            _ if ranges.take(version, prerelease) => None,
            Some(suffix) if ranges.take(version, true) => Some(Why::Suffix(suffix.to_owned())),
            _ => Some(Why::OutOfRange(ranges.to_string())),
        };
    }
    let suffix = version.suffix().filter(|_| !prerelease)?;
    Some(Why::Suffix(suffix.to_owned()))
}

/// Whether it is cosign's tag of an image, or the fallback tag of its referrers (distribution spec,
/// "Referrers Tag Schema").
fn is_made_of_digest(tag: &str) -> bool {
    const SHORTEST: usize = 64;
    let hex = tag.strip_prefix("sha256-").or(tag.strip_prefix("sha512-"));
    let hex = hex.and_then(|rest| rest.split('.').next());
    hex.is_some_and(|hex| hex.len() >= SHORTEST && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests;
