//! What is where in a tar file. Nothing is ever unpacked: contents are read from where they are.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use tar::EntryType;
use tar::Header;
use tar::PaxExtensions;

use super::Error;
use super::blob::Span;
use super::error::At as _;

/// The files and links of a tar file, by their names.
#[derive(Debug)]
pub(super) struct Tape {
    file: Arc<File>,
    entries: HashMap<String, Entry>,
}

#[derive(Debug)]
enum Entry {
    /// Start and length of its content, in bytes.
    File(u64, u64),
    /// Another name in the same tar file.
    Link(String),
}

const BLOCK: u64 = 512;
/// The longest name, or extended header, that is read, in bytes.
const LONGEST_HEADER: u64 = 64 << 10;
/// The most entries: an image has few, and each of them costs memory.
const MOST_ENTRIES: usize = 200_000;
/// How many links are followed.
const MOST_LINKS: usize = 8;

impl Tape {
    /// Reads the headers of `file`, which is at `path`.
    ///
    /// # Errors
    /// When it is no tar file, breaks off, or has a name that leads out of it.
    pub(super) fn read(file: Arc<File>, path: &Path) -> Result<Self, Error> {
        let length = file.metadata().at(path)?.len();
        let mut winder = Winder {
            file: &file,
            length,
            at: 0,
            long: Long::default(),
        };
        let mut entries = HashMap::new();
        loop {
            let next = winder.next();
            match next.map_err(|why| Error::wrong(path, why))? {
                None => break,
                Some((name, entry)) => {
                    // What comes later takes the place of what was there, as for tar itself.
                    entries.insert(name, entry);
                }
            }
            if entries.len() > MOST_ENTRIES {
                let why = format!("more than {MOST_ENTRIES} entries: this is no image");
                return Err(Error::wrong(path, why));
            }
        }
        Ok(Self { file, entries })
    }

    /// A file's place, links followed; `None` where there is none.
    pub(super) fn find(&self, name: &str) -> Option<Span> {
        let mut name = clean(name).ok()?;
        for _ in 0..MOST_LINKS {
            match self.entries.get(&name)? {
                Entry::File(start, size) => return Some(Span::new(&self.file, *start, *size)),
                Entry::Link(to) => name.clone_from(to),
            }
        }
        None
    }
}

/// Goes from header to header.
struct Winder<'a> {
    file: &'a File,
    length: u64,
    at: u64,
    long: Long,
}

/// What an extended header says of the next entry.
#[derive(Default)]
struct Long {
    name: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

impl Winder<'_> {
    /// The next file or link; `None` at the end.
    fn next(&mut self) -> Result<Option<(String, Entry)>, String> {
        loop {
            if self.at >= self.length {
                return Ok(None);
            }
            let mut block = [0; BLOCK as usize];
            let read = self.file.read_exact_at(&mut block, self.at);
            read.map_err(|_| BROKEN.to_owned())?;
            if block == [0; BLOCK as usize] {
                return Ok(None);
            }
            let header = Header::from_byte_slice(&block);
            check(&block, header)?;
            let kind = header.entry_type();
            let extends =
                kind.is_pax_local_extensions() || kind.is_gnu_longname() || kind.is_gnu_longlink();
            let own = header.entry_size().map_err(|error| error.to_string())?;
            let long = match extends {
                true => Long::default(),
                false => std::mem::take(&mut self.long),
            };
            let (start, size) = (self.at + BLOCK, long.size.unwrap_or(own));
            let end = start.checked_add(size).filter(|end| *end <= self.length);
            let end = end.ok_or(BROKEN)?;
            self.at = end.checked_next_multiple_of(BLOCK).ok_or(BROKEN)?;
            if extends {
                self.extend(kind, start, size)?;
            } else if let Some(found) = entry(header, long, (start, size))? {
                return Ok(Some(found));
            }
        }
    }

    /// Reads an extended header, for the entry that follows.
    fn extend(&mut self, kind: EntryType, start: u64, size: u64) -> Result<(), String> {
        if size > LONGEST_HEADER {
            return Err(format!("a header of {size} bytes: this is no image"));
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        let read = self.file.read_exact_at(&mut bytes, start);
        read.map_err(|_| BROKEN.to_owned())?;
        let text = |bytes: &[u8]| Some(String::from_utf8_lossy(bytes).into_owned());
        if !kind.is_pax_local_extensions() {
            let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
            match kind.is_gnu_longname() {
                true => self.long.name = text(name),
                false => self.long.link = text(name),
            }
            return Ok(());
        }
        for extension in PaxExtensions::new(&bytes) {
            let extension = extension.map_err(|error| error.to_string())?;
            let value = extension.value_bytes();
            match extension.key_bytes() {
                b"path" => self.long.name = text(value),
                b"linkpath" => self.long.link = text(value),
                b"size" => {
                    let size = str::from_utf8(value).ok().and_then(|it| it.parse().ok());
                    self.long.size = Some(size.ok_or("a size that is no number")?);
                }
                key if key.starts_with(b"GNU.sparse.") => return Err(SPARSE.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

const BROKEN: &str = "the tar file breaks off; was it copied whole?";
const SPARSE: &str = "a sparse file in it, which docker does not write; make the archive anew";

/// Whether the header's checksum is right.
fn check(block: &[u8; BLOCK as usize], header: &Header) -> Result<(), String> {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    let outside = |at: &usize| !CHECKSUM.contains(at);
    let bytes = block.iter().enumerate();
    let sum: u32 = bytes
        .filter(|(at, _)| outside(at))
        .map(|(_, byte)| u32::from(*byte))
        .sum();
    let sum = sum + u32::from(b' ') * 8;
    match header.cksum() {
        Ok(own) if own == sum => Ok(()),
        _ => Err("this is no tar file, or it is damaged".to_owned()),
    }
}

/// A file or a link; `None` for what else may be in a tar file.
fn entry(
    header: &Header,
    long: Long,
    (start, size): (u64, u64),
) -> Result<Option<(String, Entry)>, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let kind = header.entry_type();
    if kind.is_gnu_sparse() {
        return Err(SPARSE.into());
    }
    let name = long.name.unwrap_or_else(|| text(&header.path_bytes()));
    let link = || {
        let own = || header.link_name_bytes().map(|bytes| text(&bytes));
        long.link.clone().or_else(own).unwrap_or_default()
    };
    let entry = match kind {
        EntryType::Regular | EntryType::Continuous if name.ends_with('/') => return Ok(None),
        EntryType::Regular | EntryType::Continuous => Entry::File(start, size),
        EntryType::Link => Entry::Link(clean(&link())?),
        EntryType::Symlink => {
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            Entry::Link(clean(&join(folder, &link()))?)
        }
        _ => return Ok(None),
    };
    Ok(Some((clean(&name)?, entry)))
}

fn join(folder: &str, link: &str) -> String {
    match link.starts_with('/') {
        true => link.to_owned(),
        false => format!("{folder}/{link}")
            .trim_start_matches('/')
            .to_owned(),
    }
}

/// `name` without `.` and `..`.
fn clean(name: &str) -> Result<String, String> {
    let outside = || {
        format!(
            "an entry that leads out of it: {:.100}",
            name.escape_debug()
        )
    };
    if name.starts_with('/') {
        return Err(outside());
    }
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or_else(outside)?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// The first bytes of a file, as many as there are, up to eight.
pub(super) fn start(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = [0; 8];
    let read = file.read_at(&mut bytes, 0)?;
    Ok(bytes[..read].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for (name, inside) in [
            ("a", "a"),
            ("./a//b/", "a/b"),
            ("a/../b/./c", "b/c"),
            ("a/..", ""),
        ] {
            assert_eq!(clean(name).as_deref(), Ok(inside), "{name}");
        }
        for name in ["..", "/a", "a/../../b", "./../a"] {
            assert!(clean(name).is_err(), "{name}");
        }
        assert_eq!(join("a/b", "../c"), "a/b/../c");
        assert_eq!(join("", "../c"), "../c");
        assert_eq!(join("a", "/c"), "/c");
    }
}
