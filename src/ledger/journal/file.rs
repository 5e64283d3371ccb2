use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Rotation;
use crate::ledger::Header;
use crate::ledger::Record;
use crate::ledger::VERSION;

/// How much is written at once, in bytes.
const BATCH: usize = 64 << 10;
/// How long to write on in a file that is large enough, where no other can be begun.
const PUT_UP: Duration = Duration::from_secs(60);
/// How long to wait for another process that has the file.
const LOCK_PATIENCE: Duration = Duration::from_millis(200);
/// A header's line is no longer than this, in bytes.
const HEADER: u64 = 4 << 10;
/// What every header begins with.
const KIND: &[u8] = br#"{"kind":"journal""#;

/// The newest file of a journal, and what is on its way into it.
#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    /// What the file has, in bytes.
    size: u64,
    /// Whole lines, of which the first `done` bytes are in the file.
    lines: Vec<u8>,
    done: usize,
    /// The file is too large, but no other can be begun before.
    put_up_until: Option<Instant>,
}

impl JournalFile {
    /// Creates the file, or goes on with it. Nothing is written yet.
    pub(super) fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        let (file, found) = open(path)?;
        let mut journal = Self {
            path: path.to_owned(),
            rotation,
            size: 0,
            file,
            lines: Vec::new(),
            done: 0,
            put_up_until: None,
        };
        if found == Found::OtherVersion {
            journal.rotate()?;
        } else {
            journal.begin(found)?;
        }
        Ok(journal)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line, to be written by the next flush.
    pub(super) fn add(&mut self, record: &Record) {
        let before = self.lines.len();
        // It can't fail: all keys are strings, and memory takes everything.
        if serde_json::to_writer(&mut self.lines, record).is_ok() {
            self.lines.push(b'\n');
        } else {
            self.lines.truncate(before);
        }
    }

    /// Makes room for another line: in memory, and in the file, or in a new one.
    pub(super) fn make_room(&mut self) -> io::Result<()> {
        let is_full = self.is_full();
        if is_full || self.lines.len() >= BATCH {
            self.flush()?;
        }
        if is_full && self.put_up_until.is_none_or(|until| until < Instant::now()) {
            self.put_up_until = None;
            if let Err(error) = self.rotate() {
                self.put_up_until = Some(Instant::now() + PUT_UP);
                let path = self.path.display();
                tracing::error!("no new file can be begun for the journal {path}: {error}");
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        let size = self.size + (self.lines.len() - self.done) as u64;
        self.rotation.max_size.is_some_and(|most| size >= most)
    }

    /// Writes what was added. Where that fails, the next flush goes on from there.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.done < self.lines.len() {
            match self.file.write(&self.lines[self.done..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.done += written;
                    self.size += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.lines.clear();
        self.done = 0;
        Ok(())
    }

    /// How many lines were added, but not written whole.
    pub(super) fn unwritten(&self) -> usize {
        let left = &self.lines[self.done..];
        left.iter().filter(|byte| **byte == b'\n').count()
    }

    /// Begins a new file where somebody has taken ours away.
    pub(super) fn follow(&mut self) -> io::Result<()> {
        match fs::metadata(&self.path) {
            Ok(there) => {
                let ours = self.file.metadata()?;
                if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // The file is open: it may take what its path doesn't lead to.
            Err(_) => return Ok(()),
        }
        let (file, found) = open(&self.path)?;
        self.file = file;
        self.begin(found)
    }

    /// Numbers the files one higher, without the oldest, and begins a new one.
    fn rotate(&mut self) -> io::Result<()> {
        let kept = self.rotation.files.max(1);
        let mut beyond = kept;
        while fs::remove_file(numbered(&self.path, beyond)).is_ok() {
            beyond += 1;
        }
        for number in (0..kept - 1).rev() {
            let moved = fs::rename(
                numbered(&self.path, number),
                numbered(&self.path, number + 1),
            );
            match moved {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if kept == 1 {
            fs::remove_file(&self.path)?;
        }
        let (file, found) = open(&self.path)?;
        self.file = file;
        self.begin(found)
    }

    /// Puts a header before the lines that are not written yet. Every process writes one of its own,
    /// for it numbers its flows anew.
    fn begin(&mut self, found: Found) -> io::Result<()> {
        self.size = self.file.metadata()?.len();
        let written = &self.lines[..self.done];
        let line = written.iter().rposition(|byte| *byte == b'\n');
        let rest = self.lines.split_off(line.map_or(0, |at| at + 1));
        self.lines.clear();
        self.done = 0;
        if found == Found::CutLine {
            self.lines.push(b'\n');
        }
        self.add(&Record::Journal(Header::now()));
        self.lines.extend(rest);
        Ok(())
    }
}

/// What a file that is opened holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Nothing.
    Nothing,
    /// The beginning of a journal's first line.
    CutHeader,
    /// A journal, up to a line's end.
    Lines,
    /// A journal whose writer died within a line.
    CutLine,
    /// A journal of another version.
    OtherVersion,
}

/// Opens the file, creates it where there is none, and takes its lock. Only its owner may read what
/// is created: it names repositories and clients.
fn open(path: &Path) -> io::Result<(File, Found)> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    let file = options.open(path)?;
    lock(&file)?;
    let found = look(&file)?;
    if found == Found::CutHeader {
        file.set_len(0)?;
    }
    Ok((file, found))
}

/// Takes the file's lock. A process that is about to end may have it for a moment.
fn lock(file: &File) -> io::Result<()> {
    let since = Instant::now();
    while let Err(TryLockError::WouldBlock) = file.try_lock() {
        if since.elapsed() > LOCK_PATIENCE {
            let kind = io::ErrorKind::ResourceBusy;
            return Err(io::Error::new(kind, "another process writes it"));
        }
        std::thread::sleep(LOCK_PATIENCE / 20);
    }
    // Where the file system has no locks, we do without.
    Ok(())
}

/// What the file holds.
///
/// # Errors
/// When it is no journal: nothing is appended to what belongs to somebody else.
fn look(file: &File) -> io::Result<Found> {
    let about = file.metadata()?;
    // A pipe or a terminal takes lines, and has none.
    if !about.is_file() || about.len() == 0 {
        return Ok(Found::Nothing);
    }
    let mut line = Vec::new();
    BufReader::new(file.take(HEADER)).read_until(b'\n', &mut line)?;
    let foreign = || io::Error::new(io::ErrorKind::InvalidData, "it is there, and no journal");
    if !line.ends_with(b"\n") {
        let is_all = line.len() as u64 == about.len();
        let is_header = line.starts_with(KIND) || KIND.starts_with(&line);
        if !(is_all && is_header) {
            return Err(foreign());
        }
        return Ok(Found::CutHeader);
    }
    match serde_json::from_slice(&line) {
        Ok(Record::Journal(header)) if header.version == VERSION => {}
        Ok(Record::Journal(_)) => return Ok(Found::OtherVersion),
        _ if line.starts_with(KIND) => return Ok(Found::OtherVersion),
        _ => return Err(foreign()),
    }
    let mut last = [0];
    file.read_exact_at(&mut last, about.len() - 1)?;
    Ok(if last == *b"\n" {
        Found::Lines
    } else {
        Found::CutLine
    })
}

/// Whether the file could be opened.
pub(super) fn probe(path: &Path) -> io::Result<()> {
    let opened = OpenOptions::new().read(true).append(true).open(path);
    match opened {
        Ok(file) => look(&file).map(drop),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut create = OpenOptions::new();
            create.append(true).create_new(true).mode(0o600);
            create.open(path)?;
            fs::remove_file(path)
        }
        Err(error) => Err(error),
    }
}

/// `file.jsonl` for 0, `file.jsonl.1` for 1.
fn numbered(path: &Path, number: usize) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A write that stopped within a line, in a file that is gone: the line is written whole.
    #[test]
    fn a_line_that_was_written_in_part_is_written_again_in_another_file() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut journal = JournalFile::open(&path, Rotation::NEVER).unwrap();
        journal.lines.extend(b"first\nsecond\nthird\n");
        let header = journal.lines.len() - "first\nsecond\nthird\n".len();
        // As after a disk that was full.
        journal.done = header + "first\nsec".len();
        assert_eq!(journal.unwritten(), 2);
        fs::remove_file(&path).unwrap();
        journal.follow().unwrap();
        journal.flush().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].as_bytes().starts_with(KIND), "{text}");
        assert_eq!(lines[1..], ["second", "third"]);
    }
}
