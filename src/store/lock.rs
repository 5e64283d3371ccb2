use std::fs::File;
use std::fs::OpenOptions;
use std::io;

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
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .at(&path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(io::Error::from(errno)).at(&path),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A child that is just being started still has the file open; closing it is not enough.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}
