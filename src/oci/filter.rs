use globset::Glob;
use globset::GlobSet;
use globset::GlobSetBuilder;

/// Which repository names pass: one of `allow`, where there is any, and none of `deny`.
///
/// In a glob, `*` stands for any characters, `/` too: a denied `internal/*` leaves no way around.
#[derive(Clone, Debug, Default)]
pub struct NameFilter {
    allow: Option<GlobSet>,
    deny: GlobSet,
    /// As they were written.
    globs: [Vec<String>; 2],
}

impl NameFilter {
    /// A filter from globs over repository names.
    ///
    /// # Errors
    /// When one is no glob; the error says which, and why.
    pub fn new(allow: &[String], deny: &[String]) -> Result<Self, globset::Error> {
        let (allowed, denied) = (allow.to_vec(), deny.to_vec());
        let allow = if allow.is_empty() {
            None
        } else {
            Some(globs(allow)?)
        };
        Ok(Self {
            allow,
            deny: globs(deny)?,
            globs: [allowed, denied],
        })
    }

    /// Whether `name` passes.
    pub fn passes(&self, name: &str) -> bool {
        let allowed = self.allow.as_ref().is_none_or(|allow| allow.is_match(name));
        allowed && !self.deny.is_match(name)
    }
}

/// Whether they are written alike.
impl PartialEq for NameFilter {
    fn eq(&self, other: &Self) -> bool {
        self.globs == other.globs
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern)?);
    }
    set.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_must_be_allowed_and_not_denied() {
        let filter = |allow: &[&str], deny: &[&str]| {
            let strings =
                |globs: &[&str]| globs.iter().map(ToString::to_string).collect::<Vec<_>>();
            NameFilter::new(&strings(allow), &strings(deny)).unwrap()
        };
        let passes = |filter: &NameFilter, name: &str| filter.passes(name);
        assert!(passes(&filter(&[], &[]), "any/thing"));
        let library = filter(&["library/*"], &["library/secret*"]);
        assert!(passes(&library, "library/nginx"));
        assert!(!passes(&library, "other/nginx"));
        assert!(!passes(&library, "library/secret/deep"));
        assert!(NameFilter::new(&["[".into()], &[]).is_err());
    }
}
