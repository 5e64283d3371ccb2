//! Files that somebody may have altered are hashed before they are served. What is wrong goes, so
//! that it is fetched again.

use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::Error;
use super::durable;
use super::error::At as _;
use super::seal;
use super::seal::Stamp;
use super::shelf::Doubt;
use super::shelf::Shelf;
use crate::oci::Digest;
use crate::oci::Hasher;

/// How much is read at a time, in bytes.
const CHUNK: usize = 1 << 20;

impl Shelf {
    /// Hashes a blob. It is remembered as right, or it is removed; look again. Takes as long as
    /// reading all of it, and holds nobody else up.
    pub(super) fn check(&self, digest: &Digest, doubt: &Doubt) -> Result<(), Error> {
        let actual = hash(&doubt.file, digest, &mut |_| {});
        let _turn = self.turns.of(digest);
        let path = self.layout.blob(digest);
        let metadata = doubt.file.metadata().at(&path)?;
        if Stamp::of(&metadata) != doubt.stamp {
            // Altered again: whoever looks again sees that.
            return Ok(());
        }
        match actual {
            Ok(actual) if actual == *digest => {
                // Where that is refused, it is hashed once more after the next start.
                if !seal::holds(&metadata, digest) {
                    let _ = seal::put(&doubt.file, digest);
                }
                let stamp = Stamp::of(&doubt.file.metadata().at(&path)?);
                self.index
                    .found(digest.clone(), super::shelf::seen(&metadata));
                self.index.note(digest, stamp, true);
            }
            Ok(actual) => self.drop_damaged(digest, doubt, &format!("its content is {actual}")),
            Err(error) => self.drop_damaged(digest, doubt, &format!("it can't be read: {error}")),
        }
        Ok(())
    }

    fn drop_damaged(&self, digest: &Digest, doubt: &Doubt, why: &str) {
        let path = self.layout.blob(digest);
        let there = fs::metadata(&path).map(|metadata| Stamp::of(&metadata));
        if !there.is_ok_and(|there| there.is_file_of(&doubt.stamp)) {
            return;
        }
        match durable::remove(&path) {
            Ok(_) => {
                tracing::warn!(%digest, "a stored blob was damaged, and is fetched again: {why}");
                self.index.forget(digest);
                let _ = fs::remove_dir(self.layout.blob_folder(digest));
            }
            Err(error) => {
                tracing::error!(%digest, "a stored blob is damaged ({why}), and can't be removed: {error}");
                self.index.note(digest, doubt.stamp, false);
            }
        }
    }
}

/// The digest of what is in a file; `read` is told the bytes as they are read.
pub(super) fn hash(file: &File, like: &Digest, read: &mut dyn FnMut(u64)) -> io::Result<Digest> {
    let mut hasher = Hasher::new(like.algorithm());
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let length = match file.read_at(&mut buffer, at) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..length]);
        at += length as u64;
        read(length as u64);
    }
}
