use std::fs;
use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::FlockOperation;
use tempfile::NamedTempFile;

use super::Error;
use super::Image;
use super::LONGEST;
use super::Location;
use super::Source;
use super::error::At as _;
use super::index;
use super::place;
use crate::oci::Digest;
use crate::oci::Hasher;

/// How files are called that are not whole yet.
const UNFINISHED: &str = ".tidegate-";

/// An OCI image layout that is written to: a new one, or more images beside those that are there.
///
/// `index.json` names an image when all of it is on disk, so that whoever reads meanwhile, or after a
/// crash, finds whole images only. One process writes at a time.
#[derive(Debug)]
pub struct OciWriter {
    folder: PathBuf,
    /// Locked until this is dropped.
    _mark: File,
}

/// Whether a blob has to be written.
#[derive(Debug)]
pub enum Added {
    /// Its file is there, and right.
    There,
    /// Write its bytes.
    Missing(BlobWriter),
}

impl OciWriter {
    /// Opens the layout in `folder`, which is made where there is nothing.
    ///
    /// # Errors
    /// When it can't be written, is something else, or another process writes it.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).at(folder)?;
        let path = folder.join(index::MARK);
        if !path.exists() {
            if fs::read_dir(folder).at(folder)?.next().is_some() {
                let why = "it is not empty, and no OCI layout; name another folder";
                return Err(Error::wrong(folder, why));
            }
            publish(folder, index::MARKED.as_bytes(), &path)?;
        }
        let mark = File::open(&path).at(&path)?;
        rustix::fs::flock(&mark, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            match error {
                rustix::io::Errno::WOULDBLOCK => {
                    Error::wrong(folder, "another process writes it; wait for it")
                }
                error => Error::Io {
                    path: path.clone(),
                    source: error.into(),
                },
            }
        })?;
        index::check_mark(&fs::read(&path).at(&path)?).map_err(|why| Error::wrong(folder, why))?;
        let writer = Self {
            folder: folder.to_path_buf(),
            _mark: mark,
        };
        writer.sweep()?;
        Ok(writer)
    }

    /// Removes what a crash has left.
    fn sweep(&self) -> Result<(), Error> {
        for entry in fs::read_dir(&self.folder).at(&self.folder)? {
            let entry = entry.at(&self.folder)?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_file(entry.path()).at(&entry.path())?;
            }
        }
        Ok(())
    }

    /// A blob, or a manifest, to be written. One that is there is hashed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn add(&self, digest: &Digest) -> Result<Added, Error> {
        let path = self.folder.join(place(digest));
        if let Ok(file) = File::open(&path)
            && hash(file, digest).at(&path)? == *digest
        {
            return Ok(Added::There);
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).at(folder)?;
        }
        Ok(Added::Missing(BlobWriter {
            temp: temp(&self.folder)?,
            hasher: Hasher::new(digest.algorithm()),
            digest: digest.clone(),
            path,
        }))
    }

    /// Writes a manifest.
    ///
    /// # Errors
    /// When the disk refuses, or the bytes have another digest.
    pub fn manifest(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        match self.add(digest)? {
            Added::There => Ok(()),
            Added::Missing(mut writer) => {
                writer.write(bytes)?;
                writer.commit()
            }
        }
    }

    /// Enters `images`, which are all there, by their first names. One of a name takes the place of
    /// another that had it. Durable when this returns.
    ///
    /// # Errors
    /// When the disk refuses, or what is there is no layout.
    pub fn enter(&self, images: &[Image]) -> Result<(), Error> {
        let path = self.folder.join(index::FILE);
        let before = match fs::read(&path) {
            Ok(bytes) if bytes.len() as u64 > LONGEST => {
                return Err(Error::wrong(&path, "it is longer than any layout's"));
            }
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).at(&path),
        };
        let index = index::with(before.as_deref(), images);
        let index = index.map_err(|why| Error::wrong(&self.folder, why))?;
        // The blobs' names first: an index that names what a power cut took would be a lie.
        for folder in ["blobs/sha256", "blobs/sha512", "blobs", "."] {
            let folder = self.folder.join(folder);
            if folder.is_dir() {
                sync(&folder)?;
            }
        }
        publish(&self.folder, &index, &path)?;
        sync(&self.folder)
    }

    /// Writes a file beside `index.json`, in place of what has its name. Durable when this returns.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn beside(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        publish(&self.folder, bytes, &self.folder.join(name))?;
        sync(&self.folder)
    }

    /// What is there, for reading.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn read(&self) -> Result<Source, Error> {
        Source::open(&Location::Oci {
            folder: self.folder.clone(),
            name: None,
        })
    }
}

/// A blob on its way into a layout: `commit` publishes it, a drop leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    temp: NamedTempFile,
    hasher: Hasher,
    digest: Digest,
    path: PathBuf,
}

impl BlobWriter {
    /// Its next bytes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update(bytes);
        self.temp.write_all(bytes).at(&self.path)
    }

    /// Publishes it, if it has its digest.
    ///
    /// # Errors
    /// When it has another one, or the disk refuses.
    pub fn commit(self) -> Result<(), Error> {
        let found = self.hasher.finish();
        if found != self.digest {
            let why = format!("what came for it has the digest {found}");
            return Err(Error::wrong(&self.path, why));
        }
        self.temp.as_file().sync_data().at(&self.path)?;
        persist(self.temp, &self.path)
    }
}

fn hash(mut file: File, like: &Digest) -> io::Result<Digest> {
    let mut hasher = Hasher::new(like.algorithm());
    let mut buffer = vec![0; 256 << 10];
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// A file without a name that anybody looks for, readable by others as the umask says.
pub(super) fn temp(folder: &Path) -> Result<NamedTempFile, Error> {
    tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .at(folder)
}

/// Gives a file its name, in place of what had it.
pub(super) fn persist(temp: NamedTempFile, path: &Path) -> Result<(), Error> {
    temp.persist(path)
        .map(drop)
        .map_err(|error| error.error)
        .at(path)
}

/// Writes a file, which appears whole.
pub(super) fn publish(folder: &Path, bytes: &[u8], path: &Path) -> Result<(), Error> {
    let mut file = temp(folder)?;
    file.write_all(bytes).at(path)?;
    file.as_file().sync_data().at(path)?;
    persist(file, path)
}

/// Makes the names in a folder survive a power cut.
pub(super) fn sync(folder: &Path) -> Result<(), Error> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .at(folder)
}
