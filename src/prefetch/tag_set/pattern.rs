use std::fmt;

/// A pattern of tags: a glob, or a regular expression between slashes.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    Glob(globset::GlobMatcher),
    Regex(regex::Regex),
}

impl Pattern {
    /// Whether `tag` fits.
    pub fn fits(&self, tag: &str) -> bool {
        match &self.matcher {
            Matcher::Glob(glob) => glob.is_match(tag),
            Matcher::Regex(regex) => regex.is_match(tag),
        }
    }
}

impl std::str::FromStr for Pattern {
    type Err = String;

    /// Reads `*-alpine*`, or `/^v1\.[0-9]+$/`.
    fn from_str(text: &str) -> Result<Self, String> {
        let regex = text.strip_prefix('/').and_then(|it| it.strip_suffix('/'));
        let matcher = match regex {
            Some(regex) => {
                Matcher::Regex(regex::Regex::new(regex).map_err(|error| error.to_string())?)
            }
            None => Matcher::Glob(
                globset::Glob::new(text)
                    .map_err(|error| error.kind().to_string())?
                    .compile_matcher(),
            ),
        };
        Ok(Self {
            text: text.to_owned(),
            matcher,
        })
    }
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
