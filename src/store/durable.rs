//! Files that appear whole or not at all.

use std::fs;
use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;
use tempfile::TempPath;

use super::error::found;
use super::error::is_absent;

/// Whether a file must be there after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// File and folder are synced.
    Synced,
    /// Its loss only costs that the upstream is asked again.
    Relaxed,
}

/// How often a folder that vanishes between making it and moving a file into it is made anew:
/// evictions and `gc` remove folders that are empty.
const ATTEMPTS: usize = 1000;

/// A new file, readable by others as the umask says, so that a registry of another user can serve
/// it once it is published.
pub(super) fn temp(tmp: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(tmp)
}

/// Writes a small file in place of whatever was at `path`.
pub(super) fn put(
    tmp: &Path,
    path: &Path,
    bytes: &[u8],
    durability: Durability,
) -> io::Result<File> {
    let (mut file, temp) = temp(tmp)?.into_parts();
    file.write_all(bytes)?;
    match durability {
        Durability::Synced => {
            file.sync_data()?;
            place(temp, path)?.sync()?;
        }
        Durability::Relaxed => drop(place(temp, path)?),
    }
    Ok(file)
}

/// A file that has its name, but might lose it in a power cut.
#[must_use]
pub(super) struct Placed<'a> {
    path: &'a Path,
    /// The folders that were made for it.
    new: Vec<&'a Path>,
}

/// Moves a file, synced already where that matters, to `path`. Its folder is made where missing.
pub(super) fn place(mut temp: TempPath, path: &Path) -> io::Result<Placed<'_>> {
    let folder = path.parent().unwrap_or(path);
    let new: Vec<&Path> = folder.ancestors().take_while(|f| !f.is_dir()).collect();
    for attempt in 1.. {
        let moved = match fs::create_dir_all(folder) {
            Ok(()) => temp
                .persist(path)
                .map_err(|failed| (failed.error, failed.path)),
            Err(error) => Err((error, temp)),
        };
        match moved {
            Ok(()) => break,
            Err((error, back)) if attempt < ATTEMPTS && is_race(&error) && back.exists() => {
                temp = back;
            }
            Err((error, _)) => return Err(error),
        }
    }
    Ok(Placed { path, new })
}

impl Placed<'_> {
    /// Makes the name durable.
    pub(super) fn sync(self) -> io::Result<()> {
        sync_parent(self.path)?;
        self.new.into_iter().try_for_each(sync_parent)
    }
}

/// Whether a folder may have vanished since it was made, or since it was found to exist.
fn is_race(error: &io::Error) -> bool {
    is_absent(error) || error.kind() == io::ErrorKind::AlreadyExists
}

/// Makes a folder and what is missing above it, and syncs each folder that gets a new entry.
pub(super) fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folders(parent)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => sync_parent(folder),
        // Somebody else made it, or removed its parent, which was empty. It may be gone again:
        // whoever puts something into it tries more than once.
        Err(error) if is_race(&error) => fs::create_dir_all(folder),
        Err(error) => Err(error),
    }
}

/// Makes the name of `path` survive a power cut, unless it is gone since.
fn sync_parent(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return Ok(()),
    };
    match found(File::open(folder))? {
        Some(folder) => folder.sync_all(),
        None => Ok(()),
    }
}

/// Removes a file or a folder with all that is in it. Whether there was one.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Ok(()) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes a folder away in one step, whatever is being put into it meanwhile; then removes it.
/// Whether there was one.
pub(super) fn detach(tmp: &Path, folder: &Path) -> io::Result<bool> {
    let grave = tempfile::Builder::new().prefix("removed").tempdir_in(tmp)?;
    match fs::rename(folder, grave.path().join("folder")) {
        Ok(()) => grave.close().map(|()| true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// As [`detach`], of a folder that was found wrong: it is put back where `is_wrong`, told where the
/// folder is meanwhile, says that it has been replaced since. Whether it was removed.
pub(super) fn detach_wrong(
    tmp: &Path,
    folder: &Path,
    is_wrong: impl FnOnce(&Path) -> bool,
) -> io::Result<bool> {
    let grave = tempfile::Builder::new().prefix("removed").tempdir_in(tmp)?;
    let taken = grave.path().join("folder");
    match fs::rename(folder, &taken) {
        Ok(()) => {}
        Err(error) if is_absent(&error) => return Ok(false),
        Err(error) => return Err(error),
    }
    if is_wrong(&taken) {
        return grave.close().map(|()| true);
    }
    // Where somebody has put a third one there meanwhile, that one stays.
    let _ = fs::rename(&taken, folder);
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_replaces_and_removes() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b/c");
        for durability in [Durability::Synced, Durability::Relaxed] {
            put(root.path(), &path, b"one", durability).unwrap();
            put(root.path(), &path, b"two", durability).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"two");
            assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
            assert!(detach(root.path(), &root.path().join("a")).unwrap());
            assert!(!detach(root.path(), &root.path().join("a")).unwrap());
            assert!(!remove(&path).unwrap());
            assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_failed_put_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("folder");
        fs::create_dir(&path).unwrap();
        put(root.path(), &path, b"x", Durability::Synced).unwrap_err();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_was_replaced_by_something_right_is_put_back() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a");
        put(root.path(), &folder.join("b"), b"x", Durability::Relaxed).unwrap();
        let tmp = root.path();
        let judge = |wrong: bool| move |_: &Path| wrong;
        assert!(!detach_wrong(tmp, &folder, judge(false)).unwrap());
        assert_eq!(fs::read(folder.join("b")).unwrap(), b"x");
        assert!(detach_wrong(tmp, &folder, judge(true)).unwrap());
        assert!(!detach_wrong(tmp, &folder, judge(true)).unwrap());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn copes_with_folders_that_vanish_meanwhile() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        let done = std::sync::atomic::AtomicBool::new(false);
        let results: Vec<io::Result<File>> = std::thread::scope(|scope| {
            scope.spawn(|| {
                // Fewer times than one put tries, so that none can lose every time.
                let mut removed = 0;
                while removed < ATTEMPTS / 2 && !done.load(std::sync::atomic::Ordering::Relaxed) {
                    removed += usize::from(fs::remove_dir(&folder).is_ok());
                }
            });
            let path = folder.join("file");
            let put = |number: usize| {
                let durability = [Durability::Relaxed, Durability::Synced][number % 2];
                let put = put(root.path(), &path, b"x", durability);
                let _ = fs::remove_file(&path);
                put
            };
            let results = (0..300).map(put).collect();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            results
        });
        for result in results {
            result.unwrap();
        }
    }
}
