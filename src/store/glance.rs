//! Looks that wait for nothing: whatever the kernel has in memory of names and files, it tells at
//! once, and a request for a blob that is in use needs no other thread. What it has not, or somebody
//! else is at, is left to a [`Shelf::look`].

use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::ResolveFlags;
use rustix::io::Errno;
use rustix::io::ReadWriteFlags;

use super::Blob;
use super::links;
use super::seal::Stamp;
use super::shelf::Shelf;
use super::shelf::is_there;
use super::shelf::seen;
use crate::oci::Digest;

impl Shelf {
    /// The blob that the link in `folder` opens, pinned; counts as a use. `None` says nothing of
    /// it. Never blocks.
    pub(super) fn glance(&self, folder: &Path, digest: &Digest) -> Option<Blob> {
        let _turn = self.turns.try_of(digest)?;
        let right = self.index.checked_and_written(digest)?;
        if !opens(folder, digest) {
            return None;
        }
        let file = match self.index.open(digest) {
            Some(file) => file,
            None => Arc::new(open(&self.layout.blob(digest), OFlags::RDONLY)?),
        };
        let metadata = file.metadata().ok()?;
        let is_right = Stamp::of(&metadata) == right && is_there(&metadata, digest);
        is_right.then(|| {
            self.index.used(digest, seen(&metadata), &file);
            Blob {
                size: metadata.len(),
                stored: metadata.modified().unwrap_or(std::time::UNIX_EPOCH),
                file,
                stamp: right,
            }
        })
    }

    /// Whether it is known that the blob is not stored. Never blocks.
    pub(super) fn lacks(&self, digest: &Digest) -> bool {
        let Some(_turn) = self.turns.try_of(digest) else {
            return false;
        };
        let file = || find(&self.layout.blob(digest), OFlags::PATH);
        !self.index.has(digest) && matches!(file(), Err(Errno::NOENT))
    }
}

/// [`links::opens`], where that is known without a look at the disk.
fn opens(folder: &Path, digest: &Digest) -> bool {
    let Some(link) = open(&folder.join(links::LINK), OFlags::RDONLY) else {
        return false;
    };
    let mut text = [0; links::LONGEST];
    let slices = &mut [IoSliceMut::new(&mut text)];
    let read = rustix::io::preadv2(link, slices, 0, ReadWriteFlags::NOWAIT);
    read.is_ok_and(|length| links::says(&text[..length], digest))
        && open(&folder.join(links::HELD), OFlags::PATH).is_some()
}

/// Opens what the kernel finds without a look at the disk (`RESOLVE_CACHED` in `openat2(2)`). Older
/// kernels, and some file systems, find nothing so.
fn open(path: &Path, flags: OFlags) -> Option<File> {
    find(path, flags).ok().map(File::from)
}

/// The same; [`Errno::NOENT`] where the kernel knows that there is none.
fn find(path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC;
    let how = ResolveFlags::CACHED;
    rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), how)
}
