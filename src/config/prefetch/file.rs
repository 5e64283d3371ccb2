//! `[[prefetch]]`, key by key.

use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::de;
use toml::Spanned;

use super::value::Choice;
use super::value::Clock;
use super::value::Cron;
use super::value::Named;
use super::value::Past;
use super::value::Range;
use super::value::Runs;
use super::value::Sorting;
use super::value::TagName;
use super::value::TagPattern;
use super::value::Verification;
use super::value::Wording;
use crate::config::value::Bandwidth;
use crate::config::value::Count;
use crate::config::value::Several;
use crate::config::value::Ttl;
use crate::config::value::Wait;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Prefetch {
    pub(super) name: Spanned<Named>,
    pub(super) from: Several<Wording>,
    pub(super) tags: Option<Spanned<Tags>>,
    pub(super) immutable: Option<Several<TagPattern>>,
    pub(super) min_tags: Option<Count>,
    pub(super) platforms: Option<Spanned<Several<Runs>>>,
    pub(super) referrers: Option<bool>,
    pub(super) to: Option<Spanned<Several<Wording>>>,
    pub(super) verify: Option<Verification>,
    pub(super) prune: Option<Spanned<Choice>>,
    pub(super) prune_max: Option<Spanned<Count>>,
    pub(super) schedule: Option<Spanned<Cron>>,
    pub(super) every: Option<Spanned<Wait>>,
    pub(super) jitter: Option<Spanned<Ttl>>,
    pub(super) quiet: Option<Several<Clock>>,
    pub(super) bandwidth: Option<Bandwidth>,
    pub(super) arch: Option<Spanned<Several<Wording>>>,
}

/// Tags, one by one, or what they must pass.
#[derive(Debug)]
pub(super) enum Tags {
    List(Vec<Spanned<TagName>>),
    Filter(Box<Filter>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Filter {
    pub(super) include: Option<Several<TagPattern>>,
    pub(super) exclude: Option<Several<TagPattern>>,
    pub(super) semver: Option<Several<Range>>,
    pub(super) prerelease: Option<Spanned<bool>>,
    pub(super) latest: Option<Count>,
    pub(super) order: Option<Spanned<Sorting>>,
    pub(super) since: Option<Past>,
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Tags;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a list of tags, or a table such as { include = [\"1.*\"], latest = 5 }",
                )
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, entries: A) -> Result<Tags, A::Error> {
                let entries = de::value::SeqAccessDeserializer::new(entries);
                Vec::deserialize(entries).map(Tags::List)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, entries: A) -> Result<Tags, A::Error> {
                let entries = de::value::MapAccessDeserializer::new(entries);
                Filter::deserialize(entries).map(|filter| Tags::Filter(Box::new(filter)))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
