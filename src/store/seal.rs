//! Whether a blob's file is still as it was when it was last known to be right.
//!
//! Nobody can hash a blob each time it is served. But whoever writes to a file moves its mtime. So
//! the file of a blob that is right gets an mtime whose nanoseconds are a mark, made from its
//! digest, its length and the mtime's seconds: the seal. It needs no file of its own and no write
//! of its own, survives restarts and copies, and means nothing to a registry that serves the
//! folder. A file without its seal is hashed before it is served, once.
//!
//! As long as the process lives it also remembers the ctime, which no tool can put back.

use std::fs::File;
use std::fs::FileTimes;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;
use std::time::SystemTime;

use crate::oci::Digest;

/// What the file system says of a file, and says otherwise once somebody wrote to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The file's length, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Whether it is the same file with the same content as far as its mtime tells: its name, its
    /// atime or its owner may have changed.
    pub(super) fn has_content_of(&self, other: &Self) -> bool {
        let content = |stamp: &Self| (stamp.inode, stamp.size, stamp.modified);
        content(self) == content(other)
    }

    /// Whether it is the same file, whatever is in it.
    pub(super) fn is_file_of(&self, other: &Self) -> bool {
        self.inode == other.inode
    }
}

/// Whether a file bears the seal of `digest`.
pub(super) fn holds(metadata: &Metadata, digest: &Digest) -> bool {
    u64::try_from(metadata.mtime()).is_ok_and(|seconds| {
        let mark = mark(digest, metadata.len(), seconds);
        metadata.mtime_nsec() == i64::from(mark)
    })
}

/// Seals a file of which it is known that its content is right. Its mtime stays, to the second, but
/// the mark lies not in the future.
pub(super) fn put(file: &File, digest: &Digest) -> io::Result<()> {
    let metadata = file.metadata()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let past = now.unwrap_or_default().as_secs().saturating_sub(1);
    let seconds = u64::try_from(metadata.mtime()).unwrap_or_default();
    let (size, seconds) = (metadata.len(), seconds.min(past));
    let time = Duration::new(seconds, mark(digest, size, seconds));
    let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + time);
    file.set_times(times)
}

/// Takes the seal off: the file is hashed before it is served again.
pub(super) fn remove(file: &File) -> io::Result<()> {
    file.set_modified(SystemTime::now())
}

/// Nanoseconds that nobody hits by chance (1 in 10⁹).
fn mark(digest: &Digest, size: u64, seconds: u64) -> u32 {
    let sealed = Digest::of(format!("tidegate {digest} {size} {seconds}").as_bytes());
    let number = u64::from_str_radix(&sealed.hex()[..16], 16).unwrap_or_default();
    (number % 1_000_000_000) as u32
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn sealed(digest: &Digest) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        put(&file, digest).unwrap();
        file
    }

    #[test]
    fn a_seal_is_of_one_digest_and_broken_by_a_write() {
        let digest = Digest::of(b"content");
        let mut file = sealed(&digest);
        let before = file.metadata().unwrap();
        assert!(holds(&before, &digest));
        assert!(!holds(&before, &Digest::of(b"other")));
        assert!(before.modified().unwrap() < SystemTime::now());
        file.write_all(b"!").unwrap();
        assert!(!holds(&file.metadata().unwrap(), &digest));
        put(&file, &digest).unwrap();
        let again = file.metadata().unwrap();
        assert!(holds(&again, &digest));
        assert!(!Stamp::of(&before).has_content_of(&Stamp::of(&again)));
        assert!(Stamp::of(&before).is_file_of(&Stamp::of(&again)));
        remove(&file).unwrap();
        assert!(!holds(&file.metadata().unwrap(), &digest));
    }

    #[test]
    fn a_seal_outlives_a_use_and_keeps_the_second() {
        let digest = Digest::of(b"content");
        let file = sealed(&digest);
        let before = file.metadata().unwrap();
        let used = SystemTime::now();
        file.set_times(FileTimes::new().set_accessed(used)).unwrap();
        let after = file.metadata().unwrap();
        assert!(holds(&after, &digest));
        assert!(Stamp::of(&before).has_content_of(&Stamp::of(&after)));
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        put(&file, &digest).unwrap();
        assert_eq!(file.metadata().unwrap().mtime(), 0);
    }
}
