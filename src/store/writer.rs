use std::fs::File;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use tempfile::TempPath;
use tokio::time::Instant;
use tokio::time::timeout;

use super::Blob;
use super::Error;
use super::Store;
use super::durable;
use super::error::At as _;
use super::index::Reservation;
use super::links;
use super::shelf::Shelf;
use crate::oci::Digest;
use crate::oci::Repository;

/// How long a writer waits for room that readers and other writers hold. Short, for a client
/// waits as well, and what can't be stored can still be passed on.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often to look whether a reader has let go of a blob: nothing tells.
const LOOK: Duration = Duration::from_millis(100);

/// A blob that is being written: `commit` publishes it, a drop leaves nothing.
#[derive(Debug)]
pub struct Writer {
    shelf: Arc<Shelf>,
    file: Arc<File>,
    // Before the room is given back, the file is gone.
    temp: TempPath,
    room: Reservation,
}

impl Writer {
    /// The growing file, for positioned writes and reads.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Publishes the file as `digest`, which the caller has verified, and links it into
    /// `repositories`. Durable when this returns: file synced, renamed, folder synced. Once it was
    /// polled, a drop of the future does not undo it.
    ///
    /// A blob larger than `max_size` is linked and readable, but not kept: as if it were evicted
    /// at once.
    ///
    /// # Errors
    /// When the disk refuses; nothing is published then.
    pub async fn commit(self, digest: &Digest, repositories: &[Repository]) -> Result<Blob, Error> {
        let (digest, repositories) = (digest.clone(), repositories.to_vec());
        super::blocking(move || self.publish(&digest, &repositories)).await
    }

    fn publish(self, digest: &Digest, repositories: &[Repository]) -> Result<Blob, Error> {
        let Self {
            shelf,
            file,
            temp,
            room,
        } = self;
        let digests = std::slice::from_ref(digest);
        for repository in repositories {
            let folder = shelf.layout.repository(repository);
            links::open_blobs(&shelf.layout, &folder, digests)?;
        }
        let size = file.metadata().at(&temp)?.len();
        if !shelf.index.can_hold(size) {
            tracing::warn!(%digest, size, "a blob larger than [store] max_size is not kept");
            let stored = SystemTime::now();
            return Ok(Blob { file, size, stored });
        }
        if let Some(blob) = shelf.blob(digest)?
            && blob.size == size
        {
            return Ok(blob);
        }
        file.sync_data().at(&temp)?;
        let blob = shelf.publish(&file, temp, digest, room)?;
        shelf.shrink();
        Ok(blob)
    }
}

impl Store {
    /// A writer for a blob of about `expected` bytes: room is made for them. Where `expected` is
    /// not known, room is made when the blob is committed.
    ///
    /// Waits a few seconds, at most, while all room is being read or written.
    ///
    /// # Errors
    /// [`Error::Full`] when there is no room within `max_size`; [`Error::Io`] when the disk
    /// refuses.
    pub async fn writer(&self, expected: Option<u64>) -> Result<Writer, Error> {
        let room = self.room(expected.unwrap_or(0)).await?;
        let shelf = Arc::clone(&self.shelf);
        super::blocking(move || {
            shelf.shrink();
            let tmp = shelf.layout.tmp();
            let (file, temp) = durable::temp(&tmp).at(&tmp)?.into_parts();
            Ok(Writer {
                shelf,
                file: Arc::new(file),
                temp,
                room,
            })
        })
        .await
    }

    async fn room(&self, bytes: u64) -> Result<Reservation, Error> {
        let index = &self.shelf.index;
        if !index.can_hold(bytes) {
            // It will not be kept, so that nothing needs to go for it.
            return Ok(index.reserve_nothing());
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut changed = pin!(index.changed.notified());
            changed.as_mut().enable();
            if let Some(room) = index.reserve(bytes) {
                return Ok(room);
            }
            if Instant::now() >= deadline {
                return Err(self.full(bytes));
            }
            let _ = timeout(LOOK, changed).await;
        }
    }

    fn full(&self, wanted: u64) -> Error {
        Error::Full {
            path: self.config.path.clone(),
            wanted,
            max_size: self.config.max_size.unwrap_or(u64::MAX),
        }
    }
}
