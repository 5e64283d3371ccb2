use std::fmt;
use std::str::FromStr;

use globset::Glob;
use globset::GlobMatcher;
use regex::Regex;

/// A pattern of tags: a glob for the whole of it, such as `1.*` or `*-alpine*`; or, between slashes,
/// a regular expression, which may match anywhere in it: `/^v1\.[0-9]+$/`.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    Glob(GlobMatcher),
    Regex(Regex),
}

impl Pattern {
    /// Whether `tag` fits.
    pub fn fits(&self, tag: &str) -> bool {
        match &self.matcher {
            Matcher::Glob(glob) => glob.is_match(tag),
            Matcher::Regex(regex) => regex.is_match(tag),
        }
    }

    /// Whether it has a `-`, not counting sets such as `[a-z]`: whoever writes `*-alpine` wants
    /// versions with a suffix.
    pub(super) fn names_suffix(&self) -> bool {
        let mut depth = 0_usize;
        for character in self.text.chars() {
            match character {
                '[' => depth += 1,
                ']' => depth = depth.saturating_sub(1),
                '-' if depth == 0 => return true,
                _ => {}
            }
        }
        false
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let between = |text: &'_ str| -> Option<String> {
            let inner = text.strip_prefix('/')?.strip_suffix('/')?;
            Some(inner.to_owned())
        };
        let matcher = match between(text) {
            Some(regex) if regex.is_empty() => return Err("it is empty".to_owned()),
            Some(regex) => Matcher::Regex(Regex::new(&regex).map_err(|error| shortly(&error))?),
            None if text.is_empty() => return Err("it is empty".to_owned()),
            None if text.contains('/') => {
                return Err(
                    "there is no '/' in tags, and a regular expression stands between \
                            two of them"
                        .to_owned(),
                );
            }
            None => {
                let glob = Glob::new(text).map_err(|error| error.kind().to_string())?;
                Matcher::Glob(glob.compile_matcher())
            }
        };
        Ok(Self {
            text: text.to_owned(),
            matcher,
        })
    }
}

/// The last line says what is wrong; those before draw where.
fn shortly(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or(&text).trim();
    last.trim_start_matches("error: ").to_owned()
}

/// Whether they are written alike.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, tag: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().fits(tag)
    }

    #[test]
    fn a_glob_is_for_the_whole_tag_and_a_regex_for_any_part() {
        for (pattern, tag, is) in [
            ("1.*", "1.27", true),
            ("1.*", "11.27", false),
            ("1.*", "1.27-alpine", true),
            ("*.*.*", "1.2.3", true),
            ("*.*.*", "1.2", false),
            ("{latest,stable}", "stable", true),
            ("v[0-9]", "v1", true),
            ("latest", "Latest", false),
            ("/1\\.2/", "11.27", true),
            ("/^1\\.2$/", "11.27", false),
            ("/^v\\d+$/", "v12", true),
            ("/(?i)^RC/", "rc1", true),
        ] {
            assert_eq!(fits(pattern, tag), is, "{tag} with {pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_said() {
        for (text, said) in [
            ("", "empty"),
            ("//", "empty"),
            ("[", "unclosed character class"),
            ("/(/", "unclosed group"),
            ("/^v1", "between two"),
            ("a/b", "between two"),
        ] {
            let error = text.parse::<Pattern>().unwrap_err();
            assert!(error.contains(said) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_suffix_is_named_outside_of_sets() {
        let names = |text: &str| text.parse::<Pattern>().unwrap().names_suffix();
        assert!(names("*-alpine") && names("/-(rc|beta)[0-9]+$/"));
        assert!(!names("1.*") && !names("/^v[0-9]+[.][0-9]+/"));
    }
}
