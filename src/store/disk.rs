//! The disk under the store, which others may use as well.

use std::path::Path;

use rustix::fs::statvfs;

/// What a disk says of its room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disk {
    /// What can still be written, in bytes.
    pub(super) free: u64,
    /// What is taken, by us and by others, in bytes.
    pub(super) used: u64,
}

impl Disk {
    /// The disk that `path` is on; `None` where it does not tell.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let stat = statvfs(path).ok().filter(|stat| stat.f_blocks > 0)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Some(Self {
            free: bytes(stat.f_bavail),
            used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
        })
    }
}
