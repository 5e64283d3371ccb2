use std::fs;
use std::fs::File;
use std::io;
use std::io::ErrorKind;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;

use super::Cause;
use crate::prefetch::Counts;
use crate::prefetch::Item;
use crate::prefetch::ItemOutcome;
use crate::prefetch::Outcome;
use crate::prefetch::Report;
use crate::prefetch::Set;
use crate::prefetch::Traffic;

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Why it began.
    pub cause: Cause,
    /// When it ended. As JSON: RFC 3339, UTC.
    pub ended: Timestamp,
    /// When the last run that did all ended; this one or one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// What it has done.
    pub report: Report,
}

/// Where the last run of each set is kept: a file for each, which is replaced as a whole.
#[derive(Clone, Debug)]
pub struct Records {
    folder: PathBuf,
}

impl Record {
    pub(super) fn new(cause: Cause, report: Report, before: Option<&Self>) -> Self {
        let ended = Timestamp::now();
        let last_success = match report.outcome {
            Outcome::Done => Some(ended),
            _ => before.and_then(|before| before.last_success),
        };
        Self {
            cause,
            ended,
            last_success,
            report,
        }
    }
}

impl Records {
    /// In this folder, which is made with the first record; the one above must be there.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The last run of a set, where one has ended. What can't be read is as good as none: it costs a
    /// run that might not have been due.
    pub(super) fn read(&self, set: &str) -> Option<Record> {
        let path = self.file(set);
        let read = fs::read(&path).and_then(|text| Ok(serde_json::from_slice(&text)?));
        match read {
            Ok(record) => Some(record),
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    let path = path.display();
                    tracing::warn!("{path} can't be read, and is left out: {error}");
                }
                None
            }
        }
    }

    /// Keeps it in the place of the one before. It is there as a whole, or not at all.
    pub(super) async fn write(&self, record: Arc<Record>) -> io::Result<()> {
        let (folder, path) = (self.folder.clone(), self.file(&record.report.set));
        let written = tokio::task::spawn_blocking(move || put(&folder, &path, &record)).await;
        written.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// A name may have any character; a file's has few.
    fn file(&self, set: &str) -> PathBuf {
        let name: String = url::form_urlencoded::byte_serialize(set.as_bytes()).collect();
        // Neither hidden nor above.
        let name = match name.strip_prefix('.') {
            Some(rest) => format!("%2E{rest}"),
            None => name,
        };
        self.folder.join(format!("{name}.json"))
    }
}

fn put(folder: &Path, path: &Path, record: &Record) -> io::Result<()> {
    // The folder above is the store's: where that is gone, a volume may be, which is to come back.
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mut text = serde_json::to_vec_pretty(record)?;
    text.push(b'\n');
    // One run of a set at a time: nobody else writes it.
    let new = path.with_extension("json.new");
    let mut file = File::create(&new)?;
    file.write_all(&text)?;
    file.sync_data()?;
    fs::rename(&new, path)
}

/// The report of a run that broke.
pub(super) fn broken(set: &Set, begun: Timestamp, why: &str) -> Report {
    let took = Timestamp::now().duration_since(begun);
    let item = Item {
        image: set.name.to_string(),
        outcome: ItemOutcome::Failed,
        why: Some(format!(
            "the run broke, which is a mistake of tidegate: {why}"
        )),
        ..Item::default()
    };
    Report {
        set: set.name.clone(),
        dry_run: false,
        outcome: Outcome::Nothing,
        begun,
        seconds: took.as_secs_f64(),
        images: Counts::default(),
        traffic: Traffic::default(),
        items: vec![item],
        omitted: 0,
    }
}

#[cfg(test)]
mod tests;
