use std::path::Path;

use super::History;
use super::Summary;
use super::read;
use super::read::Records;
use super::words;

/// One journal in a report: its name, its figures, and how they came about.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// What it is called; unlike all others.
    pub name: String,
    /// Its figures.
    pub summary: Summary,
    /// When things happened; empty where nobody wants plots.
    pub history: History,
    /// What is not as it should be, each a sentence.
    pub warnings: Vec<String>,
    /// How many records of unknown kinds were skipped.
    pub skipped: u64,
    /// How many files it is made of: 1, and the parts that were rotated away.
    pub files: usize,
}

impl Column {
    /// A column of figures alone, as of a [`super::Live`].
    pub fn of(name: impl Into<String>, summary: Summary) -> Self {
        let mut column = Self {
            name: name.into(),
            summary,
            files: 1,
            ..Self::default()
        };
        column.warn_of_dropped();
        column
    }

    /// All that `files` say, the oldest first. `plots` asks for a history too.
    ///
    /// # Errors
    /// Where one of them is none, or no longer, a journal that can be read.
    pub fn read(name: &str, files: Vec<Records>, plots: bool) -> Result<Self, read::Error> {
        let mut column = Self {
            name: words::plain(name).into_owned(),
            files: files.len(),
            ..Self::default()
        };
        for mut records in files {
            for record in &mut records {
                let record = record?;
                column.summary.add(&record);
                if plots {
                    column.history.add(&record);
                }
            }
            column.skipped += records.skipped();
            column.warnings.extend_from_slice(records.warnings());
        }
        column.warn_of_dropped();
        Ok(column)
    }

    fn warn_of_dropped(&mut self) {
        let dropped = self.summary.dropped;
        if dropped > 0 {
            let warning = format!(
                "{}: {} RECORDS ARE MISSING: they came faster than the journal could be written, \
                 so all counts and bytes are too low",
                self.name,
                words::count(dropped)
            );
            self.warnings.insert(0, warning);
        }
    }
}

/// Names for journals: as short as tells them apart.
pub fn names(journals: &[impl AsRef<Path>]) -> Vec<String> {
    let paths: Vec<Vec<String>> = journals.iter().map(|path| parts(path.as_ref())).collect();
    let longest = paths.iter().map(Vec::len).max().unwrap_or(0);
    let mut names: Vec<String> = Vec::new();
    for path in &paths {
        let tail = |many: usize| path[path.len().saturating_sub(many)..].join("/");
        let is_alone = |many: &usize| {
            let own = tail(*many);
            let same =
                |other: &&Vec<String>| other[other.len().saturating_sub(*many)..].join("/") == own;
            paths.iter().filter(same).count() == 1
        };
        let name = (1..=longest).find(is_alone).map_or_else(|| tail(1), tail);
        let mut unique = name.clone();
        for number in 2.. {
            if !names.contains(&unique) {
                break;
            }
            unique = format!("{name} ({number})");
        }
        names.push(unique);
    }
    names
}

/// The parts of a path, the last one without `.jsonl`.
fn parts(path: &Path) -> Vec<String> {
    if path.as_os_str() == "-" {
        return vec!["stdin".to_owned()];
    }
    let parts = path.components().filter_map(|part| match part {
        std::path::Component::Normal(name) => Some(name.to_string_lossy()),
        std::path::Component::ParentDir => Some("..".into()),
        _ => None,
    });
    let mut parts: Vec<String> = parts.map(|part| words::plain(&part).into_owned()).collect();
    if let Some(last) = parts.last_mut()
        && let Some(stem) = last.strip_suffix(".jsonl")
        && !stem.is_empty()
    {
        *last = stem.to_owned();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn names_are_short_and_unique() {
        assert_eq!(names(&["runs/a.jsonl", "b.jsonl.1"]), ["a", "b.jsonl.1"]);
        assert_eq!(names(&["1/tap.jsonl", "2/tap.jsonl"]), ["1/tap", "2/tap"]);
        assert_eq!(names(&["tap.jsonl", "2/tap.jsonl"]), ["tap", "2/tap"]);
        assert_eq!(names(&["a.jsonl", "a.jsonl", "a"]), ["a", "a (2)", "a (3)"]);
        assert_eq!(names(&["-", "/x/.jsonl"]), ["stdin", ".jsonl"]);
        assert_eq!(names(&["a\u{1b}.jsonl"]), ["a\\u{1b}"]);
    }
}
