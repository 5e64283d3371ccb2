use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::FlockOperation;
use rustix::fs::flock;

use super::Error;
use super::durable;
use super::error::At as _;
use super::layout::Layout;

/// The right to be the only process that serves from a store; given back by a drop, and by the
/// kernel when the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock; `None` where another process has it.
    pub(super) fn take(layout: &Layout) -> Result<Option<Self>, Error> {
        let path = layout.lock();
        durable::make_folders(&layout.tmp()).at(&layout.tmp())?;
        let mut create = OpenOptions::new();
        let writable = create.create(true).truncate(false).write(true).open(&path);
        let writable = writable.at(&path)?;
        // Not held open for writing, so that a disk can be made read-only beside us.
        let file = File::open(&path).at(&path)?;
        let lock = |file: &File| flock(file, FlockOperation::NonBlockingLockExclusive);
        let (file, locked) = match lock(&file) {
            // Over NFS a lock of this kind is for those who may write (`flock(2)`).
            Err(rustix::io::Errno::BADF) => (writable.try_clone().at(&path)?, lock(&writable)),
            locked => (file, locked),
        };
        match locked {
            Ok(()) => Ok(Some(Self { file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(io::Error::from(errno)).at(&path),
        }
    }

    /// Whether the lock's file is still the one that its path names.
    pub(super) fn is_in_place(&self, layout: &Layout) -> bool {
        let file = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let held = self.file.metadata().map(file);
        let named = fs::metadata(layout.lock()).map(file);
        matches!((held, named), (Ok(held), Ok(named)) if held == named)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A child that is just being started still has the file open; closing it is not enough.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}
