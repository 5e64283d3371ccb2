use super::lines::template;

/// `repository:` with its `registry:`, `tag:` and `digest:`, in whatever order they stand in one mapping
/// of a chart's values.
#[derive(Default)]
pub(super) struct Mapping {
    /// Those that are open, outer ones first.
    open: Vec<Level>,
}

#[derive(Default)]
struct Level {
    /// How far its keys are indented.
    indent: usize,
    registry: Option<String>,
    /// And on which line.
    repository: Option<(usize, String)>,
    tag: Option<String>,
    digest: Option<String>,
}

/// What was found, and on which line.
type Found = (usize, Result<String, String>);

impl Mapping {
    /// Here is a key, indented so far, which begins an item of a list or not: mappings that end before
    /// it are closed.
    pub(super) fn key(&mut self, indent: usize, begins: bool) -> Vec<Found> {
        let mut found = Vec::new();
        let is_over = |level: &Level| match begins {
            true => level.indent >= indent,
            false => level.indent > indent,
        };
        while self.open.last().is_some_and(is_over) {
            found.extend(self.open.pop().and_then(Level::close));
        }
        if self.open.last().is_none_or(|level| level.indent < indent) {
            self.open.push(Level {
                indent,
                ..Level::default()
            });
        }
        found
    }

    /// The value of the key that was told last.
    pub(super) fn value(&mut self, number: usize, key: &str, value: &str) {
        let Some(level) = self.open.last_mut() else {
            return;
        };
        let value = (!value.is_empty() && !matches!(value, "null" | "~")).then(|| value.to_owned());
        match key {
            "registry" => level.registry = value,
            "repository" => level.repository = value.map(|value| (number, value)),
            "tag" => level.tag = value,
            "digest" | "sha" => level.digest = value,
            _ => {}
        }
    }

    /// Nothing more comes.
    pub(super) fn close(&mut self) -> Vec<Found> {
        let open = std::mem::take(&mut self.open);
        open.into_iter().filter_map(Level::close).collect()
    }
}

impl Level {
    fn close(self) -> Option<Found> {
        let (number, repository) = self.repository?;
        // A repository of charts.
        if repository.contains("://") || repository.starts_with('@') {
            return None;
        }
        let image = match self.registry {
            Some(registry) => format!("{registry}/{repository}"),
            None => repository,
        };
        let image = match (self.tag, self.digest) {
            (None, None) => {
                let problem = format!(
                    "{image} has no tag here: the chart means its appVersion; write `tag` beside it"
                );
                return Some((number, Err(problem)));
            }
            (Some(tag), None) => format!("{image}:{tag}"),
            (None, Some(digest)) => format!("{image}@{}", full(&digest)),
            (Some(tag), Some(digest)) => format!("{image}:{tag}@{}", full(&digest)),
        };
        if image.contains("{{") {
            return Some((number, Err(template())));
        }
        Some((number, Ok(image)))
    }
}

/// A digest, of which some charts leave out the algorithm.
fn full(digest: &str) -> String {
    match digest.contains(':') {
        true => digest.to_owned(),
        false => format!("sha256:{digest}"),
    }
}
