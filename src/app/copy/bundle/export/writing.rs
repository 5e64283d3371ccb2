//! A bundle, as it is written.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::Exported;
use crate::app::copy::Progress;
use crate::app::copy::bundle::Bundle;
use crate::app::copy::bundle::Error;
use crate::app::copy::bundle::LIST;
use crate::app::copy::bundle::List;
use crate::layout;
use crate::layout::Added;
use crate::layout::Blob;
use crate::layout::Image;
use crate::layout::OciWriter;
use crate::layout::ReelWriter;
use crate::oci::Digest;
use crate::store::carry::Outside;

/// A bundle that is being written. All of it blocks.
pub(super) struct Writing {
    pub(super) list: List,
    pub(super) images: Vec<Image>,
    /// What the other side has.
    pub(super) there: BTreeSet<Digest>,
    pub(super) store: Arc<Outside>,
    pub(super) to: Bundle,
    pub(super) progress: Arc<Progress>,
}

/// What it is written with.
enum Writer {
    Folder(OciWriter),
    Reel(Box<ReelWriter>),
}

impl Writing {
    pub(super) fn write(self, mut exported: Exported) -> Result<Exported, Error> {
        let list = serde_json::to_vec(&self.list).map_err(|error| lost(&self.to, &error))?;
        let blobs = self.list.images.iter().flat_map(|entry| &entry.blobs);
        let all: BTreeSet<&Digest> = blobs.collect();
        let blobs: Vec<&Digest> = all
            .iter()
            .filter(|it| !self.there.contains(**it))
            .copied()
            .collect();
        exported.left_out = (all.len() - blobs.len()) as u64;
        let manifests: BTreeSet<&Digest> = self
            .list
            .images
            .iter()
            .flat_map(|entry| &entry.manifests)
            .collect();
        for digest in &blobs {
            let stored = self.store.blob(digest)?;
            self.progress.expect(stored.map_or(0, |(_, size)| size));
        }
        let mut writer = match &self.to {
            Bundle::Folder(folder) => Writer::Folder(OciWriter::open(folder)?),
            Bundle::Reel(file, packing) => {
                let mut reel = ReelWriter::create(file, *packing)?;
                reel.file(LIST, &list)?;
                Writer::Reel(Box::new(reel))
            }
        };
        for digest in blobs.into_iter().chain(manifests) {
            match self.content(&mut writer, digest)? {
                Some(bytes) => {
                    exported.written += 1;
                    exported.bytes += bytes;
                    self.progress.advance(bytes);
                }
                None => exported.left_out += 1,
            }
        }
        exported.list = self.finish(writer, &list)?;
        Ok(exported)
    }

    /// How much was written, in bytes; `None` where it was there.
    fn content(&self, writer: &mut Writer, digest: &Digest) -> Result<Option<u64>, Error> {
        let Some((file, size)) = self.store.blob(digest)? else {
            let why = "it was in the store a moment ago, and is gone; export again";
            return Err(lost(digest, &why));
        };
        let blob = Blob::of(file, size, digest);
        let damaged = |error: &dyn std::fmt::Display| {
            lost(
                digest,
                &format!("{error}; `tidegate store verify` tells what is damaged"),
            )
        };
        match writer {
            Writer::Reel(reel) => match reel.content(digest, blob) {
                Err(layout::Error::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::InvalidData =>
                {
                    Err(damaged(&source))
                }
                written => Ok(written.map(|()| Some(size))?),
            },
            Writer::Folder(writer) => {
                let mut new = match writer.add(digest)? {
                    Added::There => return Ok(None),
                    Added::Missing(new) => new,
                };
                for chunk in blob.chunks() {
                    new.write(&chunk.map_err(|error| damaged(&error))?)?;
                }
                new.commit()?;
                Ok(Some(size))
            }
        }
    }

    /// Publishes it: where its list is.
    fn finish(&self, writer: Writer, list: &[u8]) -> Result<String, Error> {
        let beside = match (writer, &self.to) {
            (Writer::Folder(writer), Bundle::Folder(folder)) => {
                writer.enter(&self.images)?;
                writer.beside(LIST, list)?;
                folder.join(LIST)
            }
            (Writer::Reel(reel), Bundle::Reel(file, _)) => {
                reel.finish(&self.images)?;
                let mut name = file.clone().into_os_string();
                name.push(".json");
                let beside = PathBuf::from(name);
                layout::publish(&beside, list)?;
                beside
            }
            _ => PathBuf::new(),
        };
        Ok(beside.display().to_string())
    }
}

fn lost(what: &dyn std::fmt::Display, why: &dyn std::fmt::Display) -> Error {
    Error::Source {
        what: what.to_string(),
        why: why.to_string(),
    }
}
