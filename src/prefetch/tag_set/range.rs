use std::fmt;
use std::str::FromStr;

use semver::Comparator;
use semver::VersionReq;

use super::version::Version;

/// Ranges of versions, of which one must hold: `>=1.25, <2`, `1.25 || 1.27`.
///
/// What is written without an operator means itself: `1.25` is any `1.25.x`, as in npm and Helm.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranges {
    text: String,
    ranges: Vec<VersionReq>,
}

impl Ranges {
    /// These, and others: one of all of them must hold.
    #[must_use]
    pub fn or(mut self, others: Self) -> Self {
        self.text = format!("{} || {}", self.text, others.text);
        self.ranges.extend(others.ranges);
        self
    }

    /// Whether `version` is in one of them. A suffix is wanted with `prerelease`, or where a range
    /// names a suffix of the same numbers itself; else it is out.
    pub(super) fn take(&self, version: &Version, prerelease: bool) -> bool {
        let in_one = |range| takes(range, version, prerelease);
        self.ranges.iter().any(in_one)
    }
}

fn takes(range: &VersionReq, version: &Version, prerelease: bool) -> bool {
    match version.suffix() {
        None => range.matches(&version.release()),
        Some(_) if names(range, version) => version.full().is_some_and(|it| range.matches(&it)),
        // 1.25.3-alpine is no earlier than 1.25.3, and an -rc is wanted where its release would be.
        Some(_) => prerelease && range.matches(&version.release()),
    }
}

fn names(range: &VersionReq, version: &Version) -> bool {
    let release = version.release();
    let is_of = |it: &&Comparator| {
        let numbers = (it.major, it.minor, it.patch);
        numbers == (release.major, Some(release.minor), Some(release.patch))
    };
    let mut same = range.comparators.iter().filter(is_of);
    same.any(|comparator| !comparator.pre.is_empty())
}

impl FromStr for Ranges {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ranges = text.split("||").map(range).collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.trim().to_owned(),
            ranges,
        })
    }
}

const OPERATORS: [char; 5] = ['<', '>', '=', '~', '^'];

/// One range: its parts are divided by commas, or by spaces.
fn range(text: &str) -> Result<VersionReq, String> {
    if text.split_whitespace().any(|word| word == "-") {
        return Err("a range from one version to another is written \">=1.2, <=1.4\"".to_owned());
    }
    let mut parts: Vec<String> = Vec::new();
    let mut operator = "";
    for word in text.split([',', ' ', '\t']).filter(|it| !it.is_empty()) {
        let version = word.trim_start_matches(OPERATORS);
        let (own, version) = (&word[..word.len() - version.len()], version);
        match (operator, own) {
            ("", own) => operator = own,
            (_, "") => {}
            _ => return Err(format!("'{operator}{own}' is no operator")),
        }
        if version.is_empty() {
            continue;
        }
        let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
        let is_any = version.contains(['*', 'x', 'X']) && !version.contains('-');
        let itself = if operator.is_empty() && !is_any {
            "="
        } else {
            operator
        };
        parts.push(format!("{itself}{version}"));
        operator = "";
    }
    match (&parts[..], operator) {
        ([], "") => Err("it is empty".to_owned()),
        (_, "") => VersionReq::parse(&parts.join(", ")).map_err(|error| error.to_string()),
        (_, operator) => Err(format!("there is no version after '{operator}'")),
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(ranges: &str, tag: &str, prerelease: bool) -> bool {
        let ranges: Ranges = ranges.parse().unwrap();
        ranges.take(&Version::of(tag).unwrap(), prerelease)
    }

    #[test]
    fn ranges_are_what_they_are_elsewhere() {
        for (range, inside, outside) in [
            (
                ">=1.25",
                &["1.25", "v1.25.0", "1.25.3", "2"][..],
                &["1.24.9", "1"][..],
            ),
            (">=1.25 <2", &["1.25", "1.99.9"], &["2", "2.0.1"]),
            (">= v1.25, < 2.0", &["1.25", "1.99.9"], &["2", "2.0.1"]),
            ("1.25", &["1.25", "1.25.7"], &["1.26", "1", "2.25"]),
            ("1.25.3", &["1.25.3"], &["1.25", "1.25.4"]),
            ("^1.25", &["1.25", "1.30"], &["1.24", "2"]),
            ("~1.25.2", &["1.25.2", "1.25.9"], &["1.25.1", "1.26"]),
            ("1.*", &["1", "1.9.9"], &["2", "0.9"]),
            ("1.25.x", &["1.25", "1.25.9"], &["1.26"]),
            ("*", &["0.0.1", "10"], &[]),
            ("1.24 || 1.26", &["1.24.1", "1.26"], &["1.25"]),
            (
                "<1.20 || >=1.25, <1.27",
                &["1.19", "1.26.9"],
                &["1.20", "1.27"],
            ),
        ] {
            for tag in inside {
                assert!(take(range, tag, false), "{tag} in {range}");
            }
            for tag in outside {
                assert!(!take(range, tag, false), "{tag} in {range}");
            }
        }
    }

    #[test]
    fn a_suffix_is_out_unless_it_is_asked_for() {
        for (range, tag) in [
            (">=1.25", "1.25.3-alpine"),
            ("*", "1.0.0-rc1"),
            ("1.25", "1.25-rc1"),
        ] {
            assert!(!take(range, tag, false), "{tag} in {range}");
            assert!(take(range, tag, true), "{tag} in {range}");
        }
        assert!(!take("<1.26", "1.26.0-rc1", true));
        // The range asks for it.
        assert!(take(">=1.25.0-rc.2", "1.25.0-rc.3", false));
        assert!(!take(">=1.25.0-rc.2", "1.25.0-rc.1", true));
        assert!(!take(">=1.25.0-rc.2", "1.26.0-rc.1", false));
        assert!(take(">=1.25.0-rc.2", "1.26.0-rc.1", true));
        // No identifier of semantic versions, but a suffix all the same.
        assert!(take(">=1.25", "1.25.3-01", true));
    }

    #[test]
    fn what_is_no_range_is_said() {
        for (text, said) in [
            ("", "empty"),
            (">=", "no version after '>='"),
            ("1.2 - 1.4", ">=1.2, <=1.4"),
            ("> >1", "'>>' is no operator"),
            ("latest", "unexpected character 'l'"),
            ("1.25 ||", "empty"),
            (">=1.2.3.4", "after patch version"),
        ] {
            let error = text.parse::<Ranges>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
