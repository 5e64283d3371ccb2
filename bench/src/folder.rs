//! Folders of measurements that make many files. They go at the end of all, or when the disk gets
//! short, and not between measurements: an ext4 without a journal gives no inode again that was freed
//! within the last minutes, and looks at each of these before each new file (`recently_deleted` in the
//! kernel's fs/ext4/ialloc.c). What was removed after one measurement slowed the next one down by as
//! much as a factor of four.

use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;

use tempfile::TempDir;

use crate::peers;

/// A folder that outlasts its measurement.
#[derive(Debug)]
pub(crate) struct Folder(Option<TempDir>);

/// Of those whose measurements are over.
static LEFT: Mutex<Vec<TempDir>> = Mutex::new(Vec::new());
/// With less room than this on the disk, in bytes, they go at once.
const SHORT: u64 = 12 << 30;

impl Folder {
    /// An empty one in `parent`.
    ///
    /// # Errors
    /// When it can't be made.
    pub(crate) fn new(parent: &Path) -> anyhow::Result<Self> {
        let stat = rustix::fs::statvfs(parent)?;
        if stat.f_bavail.saturating_mul(stat.f_frsize) < SHORT {
            remove_left();
        }
        Ok(Self(Some(peers::folder(parent)?)))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.as_ref().map_or(Path::new(""), TempDir::path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
        left.extend(self.0.take());
    }
}

/// Removes what is left of measurements that are over.
pub(crate) fn remove_left() {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    left.clear();
}
