//! All that a bundle has, on its way into a store. All of it blocks.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::Bundle;
use super::Entry;
use super::Error;
use super::LIST;
use super::List;
use super::whole;
use crate::app::copy::Progress;
use crate::app::copy::Reference;
use crate::app::copy::blocking;
use crate::layout;
use crate::layout::Location;
use crate::layout::Reel;
use crate::layout::Source;
use crate::oci;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::store;
use crate::store::carry::Outside;
use crate::store::carry::Stored;

/// What was imported.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Imported {
    /// From where.
    pub source: String,
    /// Images that are whole in the store now, under their tags.
    pub images: u64,
    /// Blobs and manifests that were written.
    pub written: u64,
    /// In bytes.
    pub bytes: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Images that are not, and why: what they lack.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

/// Puts all images of a bundle into the store, as if their upstreams had given them. An image that
/// lacks something is left out, and in the report.
///
/// # Errors
/// When the bundle can't be read to its end, or the store can't be written: no tag points to what was
/// put in then.
pub async fn import_all(
    config: &store::Config,
    from: &Bundle,
    progress: Arc<Progress>,
) -> Result<Imported, Error> {
    let begun = Instant::now();
    let (config, from) = (config.clone(), from.clone());
    let mut imported = blocking(move || {
        let store = Outside::enter(&config)?;
        let mut taking = Taking {
            store,
            progress,
            list: None,
            imported: Imported {
                source: from.to_string(),
                ..Imported::default()
            },
        };
        match &from {
            Bundle::Folder(folder) => taking.folder(folder)?,
            Bundle::Reel(file, _) => taking.reel(file)?,
        }
        taking.enter(&from)
    })
    .await?;
    imported.seconds = (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    Ok(imported)
}

/// A bundle that is being taken in.
struct Taking {
    store: Outside,
    progress: Arc<Progress>,
    /// Once it has come.
    list: Option<Taken>,
    imported: Imported,
}

/// What is expected.
struct Taken {
    images: Vec<(Reference, Entry)>,
    media_types: HashMap<Digest, Arc<str>>,
    /// Which repository is to have a blob first.
    wanted: HashMap<Digest, Repository>,
}

impl Taken {
    fn new(list: List) -> Result<Self, String> {
        let mut images = Vec::with_capacity(list.images.len());
        let mut wanted = HashMap::new();
        for entry in list.images {
            let image = Reference::stored(&entry.image);
            let image = image.map_err(|error| format!("'{}': {error}", entry.image))?;
            if image.digest.is_none() {
                return Err(format!("'{}' has no digest", entry.image));
            }
            for blob in &entry.blobs {
                let repository = || image.repository.clone();
                wanted.entry(blob.clone()).or_insert_with(repository);
            }
            images.push((image, entry));
        }
        let types = list.media_types.into_iter();
        Ok(Self {
            images,
            media_types: types.map(|(digest, it)| (digest, it.into())).collect(),
            wanted,
        })
    }
}

/// What is written at a time, in bytes.
const CHUNK: usize = 512 << 10;

impl Taking {
    fn folder(&mut self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(LIST);
        let list = std::fs::read(&path).map_err(|error| no_list(folder, &error.to_string()))?;
        self.take_list(&list, folder)?;
        let source = Source::open(&Location::Oci {
            folder: folder.to_path_buf(),
            name: None,
        })?;
        let Some(list) = &self.list else {
            return Ok(());
        };
        let blobs: Vec<Digest> = list.wanted.keys().cloned().collect();
        let manifests: Vec<Digest> = list.media_types.keys().cloned().collect();
        for digest in blobs.iter().chain(&manifests) {
            if let Some(blob) = source.blob(digest)? {
                self.progress.expect(blob.size());
                self.content(digest, &mut blob.reader())?;
            }
        }
        Ok(())
    }

    fn reel(&mut self, file: &Path) -> Result<(), Error> {
        Reel::open(file)?.each(|part| {
            if part.name == LIST {
                let list = whole(part.bytes, part.size, file)?;
                self.take_list(&list, file)?;
            } else if let Some(digest) = layout::content(part.name) {
                if self.list.is_none() {
                    return Err(no_list(file, "the list is not at its start"));
                }
                self.progress.expect(part.size);
                self.content(&digest, part.bytes)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        match self.list {
            Some(_) => Ok(()),
            None => Err(no_list(file, "there is none in it")),
        }
    }

    fn take_list(&mut self, bytes: &[u8], place: &Path) -> Result<(), Error> {
        let list = List::read(bytes).and_then(Taken::new);
        self.list = Some(list.map_err(|why| no_list(place, &why))?);
        Ok(())
    }

    /// Puts a blob or a manifest in, unless it is there. What nobody wants is left out.
    fn content(&mut self, digest: &Digest, bytes: &mut dyn Read) -> Result<(), Error> {
        let Some(list) = &self.list else {
            return Ok(());
        };
        let incoming = match list.wanted.get(digest) {
            Some(repository) => self.store.put_blob(repository, digest)?,
            None if list.media_types.contains_key(digest) => self.store.put(digest)?,
            None => None,
        };
        let Some(mut incoming) = incoming else {
            return Ok(());
        };
        let broken = |error: std::io::Error| Error::Source {
            what: digest.to_string(),
            why: error.to_string(),
        };
        let mut buffer = vec![0; CHUNK];
        let mut written = 0;
        loop {
            match bytes.read(&mut buffer).map_err(broken)? {
                0 => break,
                read => {
                    incoming.write(&buffer[..read])?;
                    written += read as u64;
                    self.progress.advance(read as u64);
                }
            }
        }
        incoming.commit()?;
        self.imported.written += 1;
        self.imported.bytes += written;
        Ok(())
    }

    /// Enters all images that are whole. Manifests come after what they name, tags last.
    fn enter(mut self, from: &Bundle) -> Result<Imported, Error> {
        let Some(list) = self.list.take() else {
            return Ok(self.imported);
        };
        for (image, entry) in &list.images {
            let mut lacking = self.store.lacking(entry.digests())?;
            if lacking.is_empty() {
                lacking = self.image(&list, image, entry)?;
            }
            if lacking.is_empty() {
                self.imported.images += 1;
            } else {
                self.imported.failed.push(lacks(entry, &lacking, from));
            }
        }
        Ok(self.imported)
    }

    /// Enters one image, all of which is there: what it lacks all the same.
    fn image(&self, list: &Taken, image: &Reference, entry: &Entry) -> Result<Vec<Digest>, Error> {
        let repository = &image.repository;
        let blobs: Vec<Digest> = entry.blobs.iter().cloned().collect();
        self.store.open_blobs(repository, &blobs)?;
        let mut indexes = Vec::new();
        for digest in &entry.manifests {
            let Some(stored) = self.manifest(list, digest)? else {
                return Ok(vec![digest.clone()]);
            };
            match oci::Manifest::parse(&stored.bytes).manifests.is_empty() {
                true => self.store.put_manifest(repository, digest, &stored)?,
                false => indexes.push((digest, stored)),
            }
        }
        for (digest, stored) in indexes {
            self.store.put_manifest(repository, digest, &stored)?;
        }
        let tags = entry
            .others
            .iter()
            .filter_map(|(tag, it)| Some((tag.parse().ok()?, it)));
        let own = image.tag.clone().zip(image.digest.as_ref());
        let tags: Vec<_> = tags.chain(own).collect();
        let entered: BTreeSet<&Digest> = entry.manifests.iter().collect();
        for (tag, digest) in tags {
            // A list is believed in what it names, not in what it leaves out.
            if !entered.contains(digest) {
                return Ok(vec![digest.clone()]);
            }
            self.store.put_tag(repository, &tag, digest)?;
        }
        Ok(Vec::new())
    }

    fn manifest(&self, list: &Taken, digest: &Digest) -> Result<Option<Stored>, Error> {
        const LONGEST: u64 = 8 << 20;
        let Some((file, size)) = self
            .store
            .blob(digest)?
            .filter(|(_, size)| *size <= LONGEST)
        else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let reader = layout::Blob::of(file, size, digest).reader();
        let read = reader.take(LONGEST).read_to_end(&mut bytes);
        let media_type = list.media_types.get(digest).cloned();
        Ok(read.ok().map(|_| Stored {
            media_type: media_type.unwrap_or_else(|| oci::media::of_manifest(&bytes).into()),
            bytes: bytes.into(),
        }))
    }
}

/// So many of what an image lacks are named.
const NAMED: usize = 5;

fn lacks(entry: &Entry, lacking: &[Digest], from: &Bundle) -> String {
    let named: Vec<&str> = lacking.iter().take(NAMED).map(Digest::as_str).collect();
    let more = match lacking.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{}: {from} is an increment, and the store lacks what it leaves out: {}{more}; import what \
         was exported before, or export without --since",
        entry.image,
        named.join(", ")
    )
}

fn no_list(place: &Path, why: &str) -> Error {
    Error::Source {
        what: place.display().to_string(),
        why: format!(
            "this is no export of a set ({why}); to import one image of it, say what it is to be \
             with --as"
        ),
    }
}
