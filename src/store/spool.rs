//! A store that keeps nothing: what is fetched lives in nameless files while somebody writes or
//! reads them, and the kernel takes them away with their last reader, also where the process is
//! killed. Manifests, tags and permissions are in memory, and gone at the end.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;
use std::time::SystemTime;

use moka::sync::Cache;

use super::Blob;
use super::Config;
use super::Error;
use super::Lookup;
use super::StoredManifest;
use super::TagRecord;
use super::Usage;
use super::disk::Disk;
use super::durable;
use super::error::At as _;
use super::layout::Layout;
use super::seal::Stamp;
use super::walk;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::oci::UpstreamName;

#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    max_size: Option<u64>,
    state: Mutex<State>,
    opened: Cache<(Repository, Digest), ()>,
    manifests: Cache<(Repository, Digest), StoredManifest>,
    tags: Cache<(Repository, Tag), TagRecord>,
}

#[derive(Debug, Default)]
struct State {
    /// All files that somebody has open, and some that nobody has any more.
    taken: Vec<Taken>,
    /// Those that are whole and right.
    blobs: HashMap<Digest, (Weak<File>, Stamp, SystemTime)>,
    /// Those that stay open without a reader, the oldest first.
    lingering: Vec<Lingering>,
}

/// The room that a file takes, as long as it is open.
#[derive(Debug)]
struct Taken {
    file: Weak<File>,
    bytes: u64,
    is_whole: bool,
}

#[derive(Debug)]
struct Lingering {
    #[expect(dead_code, reason = "held open")]
    file: Arc<File>,
    was_read: bool,
}

/// What the manifests in memory may take, in bytes.
const MANIFESTS: u64 = 32 << 20;
/// How many tags, and how many permissions, are remembered.
const REMEMBERED: u64 = 50_000;
/// What the disk must have free beside what is wanted, in bytes.
const SPARE: u64 = 64 << 10;

impl Spool {
    /// An empty one. What was left in its folder is removed. Blocks.
    pub(super) fn open(config: &Config) -> Result<Self, Error> {
        let folder = Layout::new(&config.path).spool();
        durable::make_folders(&folder).at(&folder)?;
        for (_, leftover) in walk::entries(&folder)? {
            durable::remove(&leftover).at(&leftover)?;
        }
        let weigh = |_: &_, manifest: &StoredManifest| {
            u32::try_from(manifest.bytes.len())
                .unwrap_or(u32::MAX)
                .saturating_add(512)
        };
        let manifests = Cache::builder().max_capacity(MANIFESTS).weigher(weigh);
        Ok(Self {
            folder,
            max_size: config.max_size,
            state: Mutex::default(),
            opened: Cache::new(REMEMBERED),
            manifests: manifests.build(),
            tags: Cache::new(REMEMBERED),
        })
    }

    pub(super) fn max_size(&self) -> Option<u64> {
        self.max_size
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn usage(&self) -> Usage {
        let mut state = self.state();
        state.tidy();
        let sum = |whole: bool| {
            let taken = state.taken.iter().filter(move |it| it.is_whole == whole);
            taken.map(|it| it.bytes).sum()
        };
        Usage {
            blobs: state.blobs.len() as u64,
            bytes: sum(true),
            reserved: sum(false),
            indexed: true,
        }
    }

    pub(super) fn blob(&self, digest: &Digest) -> Option<Blob> {
        let state = self.state();
        let (file, stamp, stored) = state.blobs.get(digest)?;
        Some(Blob {
            file: file.upgrade()?,
            size: stamp.size(),
            stored: *stored,
            stamp: *stamp,
        })
    }

    pub(super) fn look_up(&self, repository: &Repository, digest: &Digest) -> Lookup {
        match self.blob(digest) {
            Some(blob) if self.is_opened(repository, digest) => Lookup::Open(blob),
            Some(_) => Lookup::Held,
            None => Lookup::Absent,
        }
    }

    pub(super) fn is_opened(&self, repository: &Repository, digest: &Digest) -> bool {
        let key = (repository.clone(), digest.clone());
        self.opened.contains_key(&key)
    }

    pub(super) fn let_open(&self, repository: &Repository, digests: &[Digest]) {
        for digest in digests {
            let key = (repository.clone(), digest.clone());
            self.opened.insert(key, ());
        }
    }

    pub(super) fn manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Option<StoredManifest> {
        self.manifests.get(&(repository.clone(), digest.clone()))
    }

    pub(super) fn put_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
        manifest: StoredManifest,
    ) {
        let key = (repository.clone(), digest.clone());
        self.manifests.insert(key, manifest);
    }

    pub(super) fn unlink_manifest(&self, repository: &Repository, digest: &Digest) {
        let key = (repository.clone(), digest.clone());
        self.manifests.invalidate(&key);
    }

    pub(super) fn tag(&self, repository: &Repository, tag: &Tag) -> Option<TagRecord> {
        self.tags.get(&(repository.clone(), tag.clone()))
    }

    pub(super) fn put_tag(&self, repository: &Repository, tag: &Tag, digest: &Digest) {
        let record = TagRecord {
            digest: digest.clone(),
            confirmed: SystemTime::now(),
        };
        self.tags.insert((repository.clone(), tag.clone()), record);
    }

    pub(super) fn remove_tag(&self, repository: &Repository, tag: &Tag) {
        self.tags.invalidate(&(repository.clone(), tag.clone()));
    }

    pub(super) fn tags(&self, repository: &Repository) -> Vec<Tag> {
        let own = self.tags.iter().filter(|(key, _)| key.0 == *repository);
        let mut tags: Vec<_> = own.map(|(key, _)| key.1.clone()).collect();
        tags.sort_unstable();
        tags
    }

    pub(super) fn repositories(&self, upstream: &UpstreamName) -> Vec<Name> {
        let all = self.manifests.iter();
        let own = all.filter(|(key, _)| key.0.upstream == *upstream);
        let mut names: Vec<_> = own.map(|(key, _)| key.0.name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether any repository of `upstream` may open the blob.
    pub(super) fn is_opened_anywhere(&self, upstream: &UpstreamName, digest: &Digest) -> bool {
        let mut opened = self.opened.iter();
        opened.any(|(key, ())| key.1 == *digest && key.0.upstream == *upstream)
    }

    /// Whether a file can be written. Blocks.
    pub(super) fn probe(&self) -> Result<(), Error> {
        let mut probe = self.file()?;
        probe.write_all(&[0; 4096]).at(&self.folder)?;
        self.check_disk(0)
    }

    /// A new file, which has no name: nobody else finds it, and nothing is left of it. Blocks.
    pub(super) fn file(&self) -> Result<File, Error> {
        durable::make_folders(&self.folder).at(&self.folder)?;
        tempfile::tempfile_in(&self.folder).at(&self.folder)
    }

    /// Takes room for `bytes` altogether for the file, as long as it is open; whether there was any
    /// within `max_size`. What only lingers goes for it.
    pub(super) fn take(&self, file: &Arc<File>, bytes: u64) -> bool {
        let mut state = self.state();
        loop {
            state.tidy();
            let others = state.taken.iter().filter(|it| !it.is_of(file));
            let others: u64 = others.map(|it| it.bytes).sum();
            let max_size = self.max_size.unwrap_or(u64::MAX);
            if others.saturating_add(bytes) <= max_size {
                break;
            }
            if state.lingering.is_empty() {
                return false;
            }
            state.lingering.remove(0);
        }
        match state.taken.iter_mut().find(|it| it.is_of(file)) {
            Some(own) => own.bytes = bytes,
            None => state.taken.push(Taken {
                file: Arc::downgrade(file),
                bytes,
                is_whole: false,
            }),
        }
        true
    }

    /// Whether the disk has room for `bytes`, once what only lingers has gone. Blocks.
    pub(super) fn check_disk(&self, bytes: u64) -> Result<(), Error> {
        let wanted = bytes.saturating_add(SPARE);
        loop {
            let free = Disk::of(&self.folder).map_or(wanted, |disk| disk.free);
            if free >= wanted {
                return Ok(());
            }
            let mut state = self.state();
            if state.lingering.is_empty() {
                let path = self.folder.clone();
                return Err(Error::DiskFull { path, wanted, free });
            }
            state.lingering.remove(0);
        }
    }

    /// The file is the blob `digest` from now on, which `repositories` may open. Blocks.
    pub(super) fn publish(
        &self,
        file: Arc<File>,
        digest: &Digest,
        repositories: &[Repository],
    ) -> Result<Blob, Error> {
        let stamp = Stamp::of(&file.metadata().at(&self.folder)?);
        let stored = SystemTime::now();
        for repository in repositories {
            self.let_open(repository, std::slice::from_ref(digest));
        }
        let mut state = self.state();
        if let Some(own) = state.taken.iter_mut().find(|it| it.is_of(&file)) {
            (own.bytes, own.is_whole) = (stamp.size(), true);
        }
        let known = (Arc::downgrade(&file), stamp, stored);
        state.blobs.insert(digest.clone(), known);
        Ok(Blob {
            file,
            size: stamp.size(),
            stored,
            stamp,
        })
    }

    /// The file stays open without a reader, until it is let go of or its room is wanted.
    pub(super) fn linger(&self, file: &Arc<File>, was_read: bool) {
        self.state().lingering.push(Lingering {
            file: file.clone(),
            was_read,
        });
    }

    /// Lets go of what lingers: of all, or of what clients have read.
    pub(super) fn let_go(&self, unread_too: bool) {
        let mut state = self.state();
        state.lingering.retain(|it| !unread_too && !it.was_read);
        state.tidy();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets the files that nobody has open.
    fn tidy(&mut self) {
        self.taken.retain(|it| it.file.strong_count() > 0);
        self.blobs.retain(|_, it| it.0.strong_count() > 0);
    }
}

impl Taken {
    fn is_of(&self, file: &Arc<File>) -> bool {
        std::ptr::eq(self.file.as_ptr(), Arc::as_ptr(file))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Whether a folder holds nothing with a name.
    fn is_bare(folder: &Path) -> bool {
        fs::read_dir(folder).is_ok_and(|mut all| all.next().is_none())
    }

    fn spool(max_size: u64) -> (Spool, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_path_buf();
        let spool = path.join("tidegate/spool");
        fs::create_dir_all(&spool).unwrap();
        fs::write(spool.join("left"), "behind").unwrap();
        let max_size = Some(max_size);
        (Spool::open(&Config { path, max_size }).unwrap(), folder)
    }

    fn repository() -> Repository {
        Repository::new("up.test".parse().unwrap(), "demo/app".parse().unwrap())
    }

    fn put(spool: &Spool, content: &[u8]) -> Option<Blob> {
        let mut file = spool.file().unwrap();
        file.write_all(content).unwrap();
        let file = Arc::new(file);
        let repositories = [repository()];
        let digest = Digest::of(content);
        let published = spool.take(&file, content.len() as u64);
        published.then(|| spool.publish(file, &digest, &repositories).unwrap())
    }

    #[test]
    fn a_blob_lives_as_long_as_somebody_has_it_open() {
        let (spool, _folder) = spool(10);
        assert!(is_bare(spool.folder()), "what was left is gone");
        let blob = put(&spool, b"abc").unwrap();
        assert!(is_bare(spool.folder()));
        let digest = Digest::of(b"abc");
        assert!(spool.is_opened(&repository(), &digest));
        assert!(blob.is_unaltered());
        let again = spool.blob(&digest).unwrap();
        drop(blob);
        assert_eq!((spool.usage().blobs, spool.usage().bytes), (1, 3));
        drop(again);
        assert!(spool.blob(&digest).is_none());
        assert_eq!(spool.usage().bytes, 0);
        assert!(spool.is_opened(&repository(), &digest), "still permitted");
    }

    #[test]
    fn there_is_no_more_than_may_be_and_what_lingers_goes_first() {
        let (spool, _folder) = spool(10);
        let blob = put(&spool, b"12345678").unwrap();
        assert!(put(&spool, b"abc").is_none());
        spool.linger(&blob.file, true);
        drop(blob);
        assert!(spool.blob(&Digest::of(b"12345678")).is_some());
        let blob = put(&spool, b"abc").unwrap();
        assert!(spool.blob(&Digest::of(b"12345678")).is_none());
        spool.linger(&blob.file, false);
        drop(blob);
        spool.let_go(false);
        assert!(spool.blob(&Digest::of(b"abc")).is_some());
        spool.let_go(true);
        assert!(spool.blob(&Digest::of(b"abc")).is_none());
    }
}
