use std::fs::File;
use std::io;
use std::io::Seek as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::Mode;
use rustix::fs::OFlags;

use super::Error;
use super::blob::Span;
use super::error::At as _;
use super::packing::Packing;
use super::tape;
use super::tape::Tape;

/// Files below one place, by their names: a folder's, or a tar file's.
#[derive(Debug)]
pub(super) enum Files {
    Folder(OwnedFd),
    Tape(Tape),
}

impl Files {
    /// Of a folder.
    pub(super) fn folder(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty());
        Ok(Self::Folder(folder.map_err(io::Error::from).at(path)?))
    }

    /// Of a tar file. One that is compressed as a whole is decompressed into a temporary file, which
    /// has no name.
    pub(super) fn tape(path: &Path) -> Result<Self, Error> {
        // A pipe has no place to go back to; opening it must not wait either.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from);
        let file = File::from(file.at(path)?);
        let metadata = file.metadata().at(path)?;
        if !metadata.is_file() {
            return Err(Error::wrong(path, "this is no file"));
        }
        let packing = Packing::of(&tape::start(&file).at(path)?);
        let file = match packing {
            Packing::None => file,
            packed => {
                let mut plain = tempfile::tempfile().at(&std::env::temp_dir())?;
                let mut source = packed.reader(file, metadata.len());
                io::copy(&mut source, &mut plain).at(path)?;
                plain.rewind().at(path)?;
                plain
            }
        };
        Ok(Self::Tape(Tape::read(Arc::new(file), path)?))
    }

    /// The file called `name`, relative to the place; `None` where there is none. No link in a
    /// folder is followed; one in a tar file leads to another of its files.
    pub(super) fn find(&self, name: &str, path: &Path) -> Result<Option<Span>, Error> {
        match self {
            Self::Tape(tape) => Ok(tape.find(name)),
            Self::Folder(folder) => match below(folder, name) {
                Ok(file) => {
                    let metadata = file.metadata().at(path)?;
                    if !metadata.is_file() {
                        return Err(Error::wrong(path, format!("{name} is no file")));
                    }
                    Ok(Some(Span::new(&Arc::new(file), 0, metadata.len())))
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Error::Io {
                    path: path.join(name),
                    source: error,
                }),
            },
        }
    }

    /// All of a small file.
    pub(super) fn read(&self, name: &str, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        let Some(span) = self.find(name, path)? else {
            return Ok(None);
        };
        span.whole(super::LONGEST, &path.join(name)).map(Some)
    }
}

/// Opens a file below `folder`, step by step, so that no link leads elsewhere.
fn below(folder: &OwnedFd, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let open = |at: &OwnedFd, part: &str| rustix::fs::openat(at, part, flags, Mode::empty());
    let mut parts = name.split('/').filter(|part| *part != "..");
    let first = parts.next().unwrap_or_default();
    let mut reached = open(folder, first)?;
    for part in parts {
        reached = open(&reached, part)?;
    }
    Ok(reached.into())
}
