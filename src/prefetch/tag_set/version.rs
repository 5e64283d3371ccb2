use std::cmp::Ordering;

use semver::Prerelease;

use super::order::naturally;

/// The version that a tag says: `v1.25`, `1.25.3-alpine`, `3.13.0rc2`.
///
/// What is missing is 0. What follows the numbers is a suffix, which makes a pre-release in the words
/// of semantic versions (semver.org, 9), or, after `_`, a build: `+` can't stand in a tag, and Helm
/// writes `_` for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    numbers: [u64; 3],
    /// How many of `numbers` were written.
    written: usize,
    suffix: Option<String>,
}

/// A single number that has more digits is a date or a build.
const LONGEST_ALONE: usize = 4;

impl Version {
    /// The version of `tag`; `None` where it says none.
    pub(super) fn of(tag: &str) -> Option<Self> {
        let text = tag.strip_prefix(['v', 'V']).unwrap_or(tag);
        let mut numbers = [0; 3];
        let mut written = 0;
        let mut rest = text;
        loop {
            let end = rest.find(|c: char| !c.is_ascii_digit());
            let (digits, after) = rest.split_at(end.unwrap_or(rest.len()));
            *numbers.get_mut(written)? = digits.parse().ok()?;
            written += 1;
            rest = after;
            if written == 1 && digits.len() > LONGEST_ALONE && !rest.starts_with('.') {
                return None;
            }
            match rest.strip_prefix('.') {
                Some(more) => rest = more,
                None => break,
            }
        }
        let suffix = match rest.chars().next() {
            None | Some('_') => None,
            Some('-') if rest.len() > 1 => Some(&rest[1..]),
            // Not the beginning of a commit, such as 7a3f9c2.
            Some(c) if c.is_ascii_alphabetic() && written > 1 => Some(rest),
            Some(_) => return None,
        };
        Some(Self {
            numbers,
            written,
            suffix: suffix.map(ToOwned::to_owned),
        })
    }

    /// What follows the numbers.
    pub(super) fn suffix(&self) -> Option<&str> {
        self.suffix.as_deref()
    }

    /// The numbers alone.
    pub(super) fn release(&self) -> semver::Version {
        let [major, minor, patch] = self.numbers;
        semver::Version::new(major, minor, patch)
    }

    /// All of it; `None` where the suffix is nothing that semantic versions know.
    pub(super) fn full(&self) -> Option<semver::Version> {
        let suffix = self.suffix.as_deref().unwrap_or_default();
        Some(semver::Version {
            pre: Prerelease::new(suffix).ok()?,
            ..self.release()
        })
    }
}

impl Ord for Version {
    /// A release is later than its pre-releases, of which `rc10` is later than `rc9`. Of the same
    /// version, the one that is written in full is later.
    fn cmp(&self, other: &Self) -> Ordering {
        let suffixes = match (&self.suffix, &other.suffix) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(one), Some(other)) => naturally(one, other),
        };
        let numbers = self.numbers.cmp(&other.numbers);
        numbers
            .then(suffixes)
            .then(self.written.cmp(&other.written))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(tag: &str) -> Option<(String, Option<String>)> {
        let version = Version::of(tag)?;
        Some((version.release().to_string(), version.suffix))
    }

    #[test]
    fn reads_what_people_write() {
        for (tag, release, suffix) in [
            ("1", "1.0.0", None),
            ("v1.25", "1.25.0", None),
            ("V1.25.3", "1.25.3", None),
            ("1.25.3-alpine", "1.25.3", Some("alpine")),
            ("1.25-alpine3.20", "1.25.0", Some("alpine3.20")),
            ("1-alpine", "1.0.0", Some("alpine")),
            ("3.13.0rc2", "3.13.0", Some("rc2")),
            ("3.14-rc", "3.14.0", Some("rc")),
            ("v2.0.0_build7", "2.0.0", None),
            ("2024.03.01", "2024.3.1", None),
            ("24.04", "24.4.0", None),
            ("20240301.1", "20240301.1.0", None),
        ] {
            let wanted = (release.to_owned(), suffix.map(ToOwned::to_owned));
            assert_eq!(version(tag), Some(wanted), "{tag}");
        }
    }

    #[test]
    fn what_says_no_version_is_none() {
        for tag in [
            "latest",
            "stable-1.2",
            "v",
            "vv1",
            "x1.2",
            "1.",
            "1..2",
            ".1",
            "1.x",
            "1.2.3.4",
            "20240301",
            "20240301-alpine",
            "7a3f9c2",
            "12ab",
            "1-",
            "1.2-",
            "99999999999999999999.1",
            "_1",
            "",
        ] {
            assert_eq!(version(tag), None, "{tag}");
        }
    }

    #[test]
    fn later_versions_are_greater() {
        let tags = [
            "1.9",
            "1.10-alpine",
            "1.10.0-rc9",
            "1.10.0-rc10",
            "1",
            "1.27-alpine3.9",
            "1.27-alpine3.20",
            "v1.27",
            "1.27.0",
            "1.27.1",
            "2",
            "10.0",
        ];
        let mut versions: Vec<_> = tags.iter().map(|tag| Version::of(tag).unwrap()).collect();
        let one = versions.remove(4);
        versions.insert(0, one);
        let mut sorted = versions.clone();
        sorted.reverse();
        sorted.sort();
        assert_eq!(sorted, versions);
    }
}
