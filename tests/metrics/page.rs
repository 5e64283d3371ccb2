//! What a scrape gives, read.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// All that a scrape gave.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) families: BTreeMap<String, Family>,
    /// By name and labels, as they are written.
    pub(crate) samples: BTreeMap<String, f64>,
}

/// What `HELP` and `TYPE` say, and the labels of all samples (without `le`).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) help: String,
    pub(crate) kind: String,
    pub(crate) labels: BTreeSet<String>,
}

impl Page {
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let mut page = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                page.family(name).help = help.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                page.family(name).kind = kind.to_owned();
            } else {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
                let name = page.family_of(name);
                page.family(&name).labels.extend(names(labels));
                let before = page
                    .samples
                    .insert(sample.to_owned(), value.parse().unwrap());
                assert!(before.is_none(), "{sample} is there twice");
            }
        }
        page
    }

    fn family(&mut self, name: &str) -> &mut Family {
        self.families.entry(name.to_owned()).or_default()
    }

    /// The family of a sample, which has a suffix in a histogram.
    pub(crate) fn family_of(&self, sample: &str) -> String {
        let suffixes = ["_bucket", "_sum", "_count"];
        let mut stems = suffixes.iter().filter_map(|it| sample.strip_suffix(it));
        let stem = stems.find(|stem| {
            let family = self.families.get(*stem);
            family.is_some_and(|family| family.kind == "histogram")
        });
        stem.unwrap_or(sample).to_owned()
    }

    /// The value of a sample, by its name and labels as they are written; 0 where it isn't there.
    pub(crate) fn value(&self, sample: &str) -> f64 {
        self.samples.get(sample).copied().unwrap_or_default()
    }

    /// The sum of all samples of `name` whose labels contain each of `parts`.
    pub(crate) fn sum(&self, name: &str, parts: &[&str]) -> f64 {
        self.with(name, parts).map(|(_, value)| value).sum()
    }

    /// The samples of `name` that are not 0: their labels and values.
    pub(crate) fn counted<'p>(&'p self, name: &'p str) -> Vec<(&'p str, f64)> {
        let samples = self.with(name, &[]);
        samples.filter(|(_, value)| *value != 0.0).collect()
    }

    fn with<'p>(
        &'p self,
        name: &'p str,
        parts: &'p [&str],
    ) -> impl Iterator<Item = (&'p str, f64)> {
        self.samples.iter().filter_map(move |(sample, value)| {
            let labels = sample.strip_prefix(name)?;
            let is_of = labels.is_empty() || labels.starts_with('{');
            let fits = is_of && parts.iter().all(|part| labels.contains(part));
            fits.then_some((labels, *value))
        })
    }
}

/// The names in `a="x",b="y"}`, but for `le`. No value of ours has a quote or a comma in it.
fn names(labels: &str) -> impl Iterator<Item = String> {
    let pairs = labels.trim_end_matches('}').split(',');
    let names = pairs.filter_map(|pair| Some(pair.split_once('=')?.0));
    names.filter(|name| *name != "le").map(str::to_owned)
}
