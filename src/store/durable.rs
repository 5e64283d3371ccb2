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
const ATTEMPTS: usize = 16;

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
    if durability == Durability::Synced {
        file.sync_data()?;
    }
    publish(temp, path, durability)?;
    Ok(file)
}

/// Moves a file, synced already where that matters, to `path`. Its folder is made where missing.
/// The caller syncs the folder with [`sync_parent`] where it does not ask for it here.
pub(super) fn publish(mut temp: TempPath, path: &Path, durability: Durability) -> io::Result<()> {
    let mut attempts = ATTEMPTS;
    loop {
        make_parent(path, durability)?;
        match temp.persist(path) {
            Ok(()) => break,
            Err(failed) if is_absent(&failed.error) && attempts > 1 && failed.path.exists() => {
                attempts -= 1;
                temp = failed.path;
            }
            Err(failed) => return Err(failed.error),
        }
    }
    match durability {
        Durability::Synced => sync_parent(path),
        Durability::Relaxed => Ok(()),
    }
}

fn make_parent(path: &Path, durability: Durability) -> io::Result<()> {
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    match durability {
        Durability::Synced => make_folders(folder),
        Durability::Relaxed => fs::create_dir_all(folder),
    }
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
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        // The parent was empty, and was removed since.
        Err(error) if is_absent(&error) => fs::create_dir_all(folder),
        Err(error) => Err(error),
    }
}

/// Makes the name of `path` survive a power cut.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(folder) => File::open(folder)?.sync_all(),
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
    fn copes_with_folders_that_vanish_meanwhile() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = fs::remove_dir(&folder);
                }
            });
            for _ in 0..300 {
                let path = folder.join("file");
                put(root.path(), &path, b"x", Durability::Relaxed).unwrap();
                fs::remove_file(&path).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
