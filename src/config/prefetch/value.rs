//! What a value of `[[prefetch]]` may be.

use serde::Deserialize;
use serde::Deserializer;

use crate::config::value::Written;
use crate::config::value::written;
use crate::oci::Platform;
use crate::oci::Tag;
use crate::prefetch;
use crate::prefetch::Hours;
use crate::prefetch::Order;
use crate::prefetch::Pattern;
use crate::prefetch::Prune;
use crate::prefetch::Ranges;
use crate::prefetch::Since;
use crate::prefetch::Verify;

/// What a set is called.
#[derive(Clone, Debug)]
pub(super) struct Named(pub(super) String);

/// Any text; what it means depends on the rest.
#[derive(Clone, Debug)]
pub(super) struct Wording(pub(super) String);

/// A tag.
#[derive(Clone, Debug)]
pub(super) struct TagName(pub(super) Tag);

/// A pattern of tags.
#[derive(Clone, Debug)]
pub(super) struct TagPattern(pub(super) Pattern);

/// A range of versions.
#[derive(Clone, Debug)]
pub(super) struct Range(pub(super) Ranges);

/// An order of tags.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sorting(pub(super) Order);

/// How old a tag may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past(pub(super) Since);

/// A platform.
#[derive(Clone, Debug)]
pub(super) struct Runs(pub(super) Platform);

/// `never`, `tags` or `deep`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verification(pub(super) Verify);

/// `off`, `report` or `delete`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice(pub(super) Prune);

/// When a set is run.
#[derive(Clone, Debug)]
pub(super) struct Cron(pub(super) prefetch::Cron);

/// Hours of the day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(pub(super) Hours);

const LONGEST_NAME: usize = 64;

impl Written for Named {
    const WANTED: &'static str =
        r#"a name of letters, digits, '-', '_' and '.', such as "base-images""#;

    fn read(text: &str) -> Result<Self, String> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if text.len() > LONGEST_NAME {
            return Err(format!("it is longer than {LONGEST_NAME} characters"));
        }
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        match begins_well && text.chars().all(is_word) {
            true => Ok(Self(text.to_owned())),
            false => Err("it becomes a part of a path and of a URL".to_owned()),
        }
    }
}

impl Written for Wording {
    const WANTED: &'static str = "a text";

    fn read(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => Err("it is empty".to_owned()),
            text => Ok(Self(text.to_owned())),
        }
    }
}

impl Written for TagName {
    const WANTED: &'static str =
        r#"a tag such as "1.27" (patterns go into tags = { include = ["1.*"] })"#;

    fn read(text: &str) -> Result<Self, String> {
        let tag = text.parse::<Tag>();
        Ok(Self(tag.map_err(|_| "it is no tag")?))
    }
}

impl Written for TagPattern {
    const WANTED: &'static str =
        r#"a pattern of tags such as "1.*", or a regular expression such as "/^v1\\.[0-9]+$/""#;

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl Written for Range {
    const WANTED: &'static str = r#"a range of versions such as ">=1.25, <2" or "1.25 || 1.27""#;

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl Written for Sorting {
    const WANTED: &'static str = r#""semver", "name" or "date""#;

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl Written for Past {
    const WANTED: &'static str = r#"a day such as "2026-03-01", a moment such as "2026-03-01T12:00:00Z", or an age such as "90d""#;

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl Written for Runs {
    const WANTED: &'static str = r#"a platform such as "linux/arm64" or "linux/arm/v7""#;

    fn read(text: &str) -> Result<Self, String> {
        let platform = text.parse();
        platform
            .map(Self)
            .map_err(|_| "it is no platform".to_owned())
    }
}

impl Written for Verification {
    const WANTED: &'static str = r#""never", "tags" or "deep""#;

    fn read(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "never" => Verify::Never,
            "tags" => Verify::Tags,
            "deep" => Verify::Deep,
            _ => return Err("there is no such choice".to_owned()),
        }))
    }
}

impl Written for Choice {
    const WANTED: &'static str = r#""off", "report" or "delete""#;

    fn read(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "off" => Prune::Off,
            "report" => Prune::Report,
            "delete" => Prune::Delete,
            _ => return Err("there is no such choice".to_owned()),
        }))
    }
}

impl Written for Cron {
    const WANTED: &'static str =
        r#"five fields, as a crontab has them, such as "0 */6 * * *" for every sixth hour"#;

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl Written for Clock {
    const WANTED: &'static str = r#"hours of the day such as "08:00-18:00""#;

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

written!(
    Named,
    Wording,
    TagName,
    TagPattern,
    Range,
    Sorting,
    Past,
    Runs,
    Verification,
    Choice,
    Cron,
    Clock,
);
