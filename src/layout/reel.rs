use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::BufWriter;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::path::PathBuf;

use tar::EntryType;
use tar::Header;
use tar::PaxExtensions;
use tempfile::NamedTempFile;

use super::Blob;
use super::Error;
use super::Image;
use super::error::At as _;
use super::index;
use super::packer::Packer;
use super::packing;
use super::packing::Packing;
use super::place;
use super::writer;
use crate::oci::Digest;

/// A layout in one tar file that is being written, in this order: files, contents, the list of images.
/// `finish` publishes it, a drop leaves nothing.
pub struct ReelWriter {
    path: PathBuf,
    tar: tar::Builder<Packer<BufWriter<NamedTempFile>>>,
}

impl ReelWriter {
    /// One that will be at `path`, in place of what is there.
    ///
    /// # Errors
    /// When its folder can't be written.
    pub fn create(path: &Path, packing: Packing) -> Result<Self, Error> {
        if path.is_dir() {
            return Err(Error::wrong(path, "this is a folder; name a file"));
        }
        let temp = BufWriter::with_capacity(BUFFER, writer::temp(folder(path))?);
        let mut new = Self {
            path: path.to_path_buf(),
            tar: tar::Builder::new(Packer::new(packing, temp)),
        };
        new.file(index::MARK, index::MARKED.as_bytes())?;
        Ok(new)
    }

    /// Adds a file.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.add(name, bytes.len() as u64, bytes)
    }

    /// Adds a blob, or a manifest, each once.
    ///
    /// # Errors
    /// When it can't be read, has another digest, or the disk refuses. Nothing can be done with this
    /// writer then.
    pub fn content(&mut self, digest: &Digest, blob: Blob) -> Result<(), Error> {
        let size = blob.size();
        self.add(&place(digest), size, blob.reader())
    }

    fn add(&mut self, name: &str, size: u64, bytes: impl Read) -> Result<(), Error> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(size);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        self.tar
            .append_data(&mut header, name, bytes)
            .at(&self.path)
    }

    /// Publishes it, with a list of `images`. Durable when this returns.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self, images: &[Image]) -> Result<(), Error> {
        let index = index::with(None, images);
        let index = index.map_err(|why| Error::wrong(&self.path, why))?;
        self.file(index::FILE, &index)?;
        let packer = self.tar.into_inner().at(&self.path)?;
        let buffer = packer.finish().at(&self.path)?;
        let written = buffer.into_inner().map_err(io::IntoInnerError::into_error);
        let temp = written.at(&self.path)?;
        temp.as_file().sync_data().at(&self.path)?;
        writer::persist(temp, &self.path)?;
        writer::sync(folder(&self.path))
    }
}

/// Writes a file that appears whole. Durable when this returns.
///
/// # Errors
/// When the disk refuses.
pub fn publish(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    writer::publish(folder(path), bytes, path)?;
    writer::sync(folder(path))
}

/// A layout in one tar file that is read from its start to its end.
pub struct Reel {
    path: PathBuf,
    source: Box<dyn Read>,
}

/// What is read from the disk, and written to it, at a time, in bytes.
const BUFFER: usize = 1 << 20;
/// The longest extended header that is read, in bytes.
const LONGEST_HEADER: u64 = 64 << 10;

/// A file of a reel: its name and length, and its bytes, of which none need be read.
pub struct Part<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its length, in bytes.
    pub size: u64,
    /// Its bytes.
    pub bytes: &'a mut dyn Read,
}

impl Reel {
    /// The file at `path`, compressed or not.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).at(path)?;
        let metadata = file.metadata().at(path)?;
        if !metadata.is_file() {
            return Err(Error::wrong(path, "this is no file"));
        }
        let file = BufReader::with_capacity(BUFFER, file);
        let source = packing::unpacked(file, metadata.len()).at(path)?;
        let path = path.to_path_buf();
        Ok(Self { path, source })
    }

    /// Shows each of its files to `visit`, in their order, until that has enough.
    ///
    /// # Errors
    /// When it is no tar file, or breaks off; and what `visit` says.
    pub fn each<E: From<Error>>(
        self,
        mut visit: impl FnMut(Part<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let broken = |error: io::Error| Error::Io {
            path: self.path.clone(),
            source: error,
        };
        let mut archive = tar::Archive::new(self.source);
        // Raw: what an extended header holds is read below, as far as it is wanted.
        let entries = archive.entries().map_err(broken)?.raw(true);
        let mut long = None;
        for entry in entries {
            let mut entry = entry.map_err(broken)?;
            let kind = entry.header().entry_type();
            if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
                let name = extended(&mut entry).map_err(broken)?;
                long = name.or(long);
                continue;
            }
            let own = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = long.take().unwrap_or(own);
            if !kind.is_file() {
                continue;
            }
            let part = Part {
                name: name.trim_start_matches("./"),
                size: entry.size(),
                bytes: &mut entry,
            };
            if visit(part)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The name that an extended header has for the next entry.
fn extended<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Option<String>> {
    if entry.size() > LONGEST_HEADER {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let is_pax = entry.header().entry_type().is_pax_local_extensions();
    let mut bytes = Vec::new();
    entry.take(LONGEST_HEADER).read_to_end(&mut bytes)?;
    if is_pax {
        for extension in PaxExtensions::new(&bytes) {
            let extension = extension?;
            if extension.key() == Ok("path") {
                return Ok(extension.value().ok().map(ToOwned::to_owned));
            }
        }
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(Some(text.trim_end_matches('\0').to_owned()))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The digest of the content that a layout has under `name`; `None` for another file.
pub fn content(name: &str) -> Option<Digest> {
    let rest = name.strip_prefix("blobs/")?;
    rest.replacen('/', ":", 1).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_in_its_order() {
        let place = tempfile::tempdir().unwrap();
        let bytes = vec![7; 100_000];
        let (short, long) = (Digest::of(&bytes), {
            let mut hasher = crate::oci::Hasher::new(crate::oci::Algorithm::Sha512);
            hasher.update(&bytes);
            hasher.finish()
        });
        for packing in [Packing::None, Packing::Gzip, Packing::Zstd] {
            let path = place.path().join("a.tar");
            let mut writer = ReelWriter::create(&path, packing).unwrap();
            writer.file("list", b"what is here").unwrap();
            for digest in [&short, &long] {
                let source = place.path().join("blob");
                std::fs::write(&source, &bytes).unwrap();
                let file = File::open(&source).unwrap();
                let blob = Blob::of(file, bytes.len() as u64, digest);
                writer.content(digest, blob).unwrap();
            }
            writer.finish(&[]).unwrap();
            let mut seen = Vec::new();
            let read = Reel::open(&path).unwrap().each(|part| {
                let mut all = Vec::new();
                part.bytes.read_to_end(&mut all).unwrap();
                assert!(
                    content(part.name).is_none() || all == bytes,
                    "{}",
                    part.name
                );
                seen.push(part.name.to_owned());
                Ok::<_, Error>(ControlFlow::Continue(()))
            });
            read.unwrap();
            let expected = ["oci-layout".to_owned(), "list".to_owned()];
            let contents = [&short, &long].map(place_of);
            let last = ["index.json".to_owned()];
            assert_eq!(seen, [&expected[..], &contents, &last].concat());
        }
    }

    fn place_of(digest: &Digest) -> String {
        assert_eq!(content(&place(digest)).as_ref(), Some(digest));
        place(digest)
    }

    #[test]
    fn a_blob_that_is_not_right_is_not_written() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.tar");
        std::fs::write(place.path().join("blob"), b"other bytes").unwrap();
        let file = File::open(place.path().join("blob")).unwrap();
        let digest = Digest::of(b"these bytes");
        let mut writer = ReelWriter::create(&path, Packing::None).unwrap();
        let blob = Blob::of(file, 11, &digest);
        assert!(writer.content(&digest, blob).is_err());
        drop(writer);
        assert!(!path.exists());
    }

    #[test]
    fn what_breaks_off_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.tar");
        let mut writer = ReelWriter::create(&path, Packing::None).unwrap();
        writer.file("list", &[1; 5000]).unwrap();
        writer.finish(&[]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..3000]).unwrap();
        let ended = Reel::open(&path).unwrap().each(|part| {
            let read = part.bytes.read_to_end(&mut Vec::new());
            read.at(&path)?;
            Ok::<_, Error>(ControlFlow::Continue(()))
        });
        assert!(ended.is_err());
    }
}
