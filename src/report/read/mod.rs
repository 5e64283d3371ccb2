//! Journals, line by line: a file of any size is read with the memory of one line.

mod error;
mod line;
mod parts;

use std::borrow::Cow;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;

use crate::ledger::Header;
use crate::ledger::Record;
use crate::ledger::VERSION;

pub use error::Error;

use super::words;

/// The records of one file, in their order.
///
/// A line of an unknown kind is skipped and counted. A line that was cut off when its writer was
/// ended is skipped too, and [`Records::warnings`] says so. After an error there are no more.
pub struct Records {
    file: String,
    from: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: u64,
    skipped: u64,
    warnings: Vec<String>,
    over: bool,
}

/// The part of a line that tells how to read it.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

/// The part of a header that every version has.
#[derive(Deserialize)]
struct AnyHeader {
    version: u64,
}

/// Opens a journal; `-` is standard input. Where it was rotated, its older parts come first,
/// unless one of them is in `named`: the journals that are reported apart.
///
/// # Errors
/// [`Error::Unreadable`]. That a file is no journal is only found when it is read.
pub fn read(journal: &Path, named: &[PathBuf]) -> Result<Vec<Records>, Error> {
    if journal.as_os_str() == "-" {
        return Ok(vec![Records::new(
            "stdin".to_owned(),
            Box::new(io::stdin()),
        )]);
    }
    let files = parts::open(journal, named).map_err(|source| Error::Unreadable {
        file: name(journal),
        source,
    })?;
    let records = files.into_iter();
    Ok(records
        .map(|(path, file)| Records::new(name(&path), Box::new(file)))
        .collect())
}

fn name(path: &Path) -> String {
    words::plain(&path.to_string_lossy()).into_owned()
}

impl Records {
    /// Those that `from` gives; errors call it `file`.
    pub fn new(file: String, from: Box<dyn io::Read + Send>) -> Self {
        Self {
            file,
            from: Box::new(BufReader::with_capacity(256 << 10, from)),
            line: Vec::new(),
            number: 0,
            skipped: 0,
            warnings: Vec::new(),
            over: false,
        }
    }

    /// How many lines of unknown kinds were skipped so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// What was lost so far, each a sentence that names the file and the line.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The next record, or `None` at the end.
    fn advance(&mut self) -> Result<Option<Record>, Error> {
        loop {
            let next = line::next(&mut *self.from, &mut self.line);
            let next = next.map_err(|source| Error::Unreadable {
                file: self.file.clone(),
                source,
            })?;
            self.number += 1;
            let ended = match next {
                line::Line::End if self.number == 1 => {
                    return Err(self.not_a_journal("it is empty".to_owned()));
                }
                line::Line::End => return Ok(None),
                line::Line::TooLong => {
                    return Err(self.wrong(format!("it is longer than {} bytes", line::LONGEST)));
                }
                line::Line::Whole { ended } => ended,
            };
            if self.number > 1 && self.line.trim_ascii().is_empty() {
                continue;
            }
            match self.record() {
                Ok(Some(record)) => return Ok(Some(record)),
                Ok(None) => self.skipped += 1,
                Err(Failed::Error(error)) => return Err(error),
                Err(Failed::Json(error)) if self.is_cut(ended, &error) => self.warn(),
                Err(Failed::Json(error)) => return Err(self.wrong(in_words(&error))),
            }
        }
    }

    /// The record of this line; `None` for one of an unknown kind.
    fn record(&self) -> Result<Option<Record>, Failed> {
        let line = &self.line;
        let kind = serde_json::from_slice::<Kind>(line)?.kind;
        if self.number == 1 && kind != "journal" {
            let why = format!("it is of kind '{}'", words::plain(&kind));
            return Err(Failed::Error(self.not_a_journal(why)));
        }
        Ok(Some(match &*kind {
            "journal" => Record::Journal(self.header()?),
            "exchange" => Record::Exchange(serde_json::from_slice(line)?),
            "connection" => Record::Connection(serde_json::from_slice(line)?),
            "run" => Record::Run(serde_json::from_slice(line)?),
            "window" => Record::Window(serde_json::from_slice(line)?),
            "dropped" => Record::Dropped(serde_json::from_slice(line)?),
            _ => return Ok(None),
        }))
    }

    fn header(&self) -> Result<Header, Failed> {
        let AnyHeader { version } = serde_json::from_slice(&self.line)?;
        if version > u64::from(VERSION) {
            return Err(Failed::Error(Error::Newer {
                file: self.file.clone(),
                line: self.number,
                version,
            }));
        }
        Ok(serde_json::from_slice(&self.line)?)
    }

    /// Whether a line that can't be read was cut off: the last one, one that was followed by a
    /// writer that was started anew, or one that a disk lost with its power (zeros).
    fn is_cut(&self, ended: bool, error: &serde_json::Error) -> bool {
        self.number > 1 && (!ended || error.is_eof() || self.line.contains(&0))
    }

    fn warn(&mut self) {
        let text = String::from_utf8_lossy(&self.line);
        let kinds = [
            "exchange",
            "connection",
            "run",
            "window",
            "dropped",
            "journal",
        ];
        let is_it = |kind: &&str| text.starts_with(&format!("{{\"kind\":\"{kind}\""));
        let what = kinds.into_iter().find(is_it).unwrap_or("unknown");
        let warning = format!(
            "{}:{} is cut off after {} bytes, as happens when its writer is killed or still \
             writing: one record (kind: {what}) is lost, the rest is used",
            self.file,
            self.number,
            self.line.len()
        );
        self.warnings.push(warning);
    }

    fn wrong(&self, why: String) -> Error {
        if self.number == 1 {
            return self.not_a_journal(what_is(&self.line).map_or(why, ToOwned::to_owned));
        }
        Error::Wrong {
            file: self.file.clone(),
            line: self.number,
            why,
        }
    }

    fn not_a_journal(&self, why: String) -> Error {
        Error::NotAJournal {
            file: self.file.clone(),
            why,
        }
    }
}

/// What a file is that begins with `line`, where that is known.
fn what_is(line: &[u8]) -> Option<&'static str> {
    const PACKED: &str = "it is compressed; unpack it, as in `zcat FILE | tidegate report -`";
    let packed: [&[u8]; 3] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ"];
    match line {
        packed_line if packed.iter().any(|magic| packed_line.starts_with(magic)) => Some(PACKED),
        [] => Some("it is empty"),
        binary if binary.contains(&0) => Some("it is a binary file"),
        _ => None,
    }
}

/// What is wrong, without the position, which counts from the line's start.
fn in_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(&*text, |(text, _)| text);
    let text = words::plain(text);
    match error.classify() {
        serde_json::error::Category::Data => text.into_owned(),
        _ => format!("it is not JSON ({text})"),
    }
}

enum Failed {
    Json(serde_json::Error),
    Error(Error),
}

impl From<serde_json::Error> for Failed {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl Iterator for Records {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.advance().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records")
            .field("file", &self.file)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
