//! What is copied to disk.

use std::io;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Buf as _;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::TryStreamExt as _;
use futures_util::stream;
use tokio::sync::mpsc;

use super::Error;
use super::blocking;
use super::on_disk;
use super::plan::Item;
use super::plan::Plan;
use crate::layout;
use crate::layout::Added;
use crate::layout::ArchiveWriter;
use crate::layout::BlobWriter;
use crate::layout::Image;
use crate::layout::Layers;
use crate::layout::OciWriter;
use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::registry::Content;
use crate::target::Cause;
use crate::target::Missing;
use crate::target::Pace;
use crate::target::Supply;

/// Who gives the content of a plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Giver<'a> {
    pub(super) supply: &'a dyn Supply,
    pub(super) flow: FlowId,
}

/// How many blobs are fetched at once.
const AT_ONCE: usize = 6;
/// How much is written at a time, in bytes.
const BATCH: usize = 1 << 20;

impl Giver<'_> {
    /// A blob, as it comes.
    pub(super) async fn blob(&self, digest: &Digest) -> Result<Content, Error> {
        let cause = Cause {
            flow: self.flow,
            pace: Pace::Client,
            ours: true,
        };
        let repository = on_disk();
        let content = self.supply.blob(&repository, digest, cause).await;
        content.map_err(|missing: Missing| lost(digest, &missing.to_string()))
    }

    /// A whole blob that is small.
    async fn whole(&self, digest: &Digest) -> Result<Bytes, Error> {
        const LONGEST: u64 = 8 << 20;
        let mut content = self.blob(digest).await?;
        if content.size > LONGEST {
            return Err(lost(digest, "it is longer than any config"));
        }
        let mut all = Vec::new();
        while let Some(chunk) = content.chunks.next().await {
            all.extend_from_slice(&chunk.map_err(|error| lost(digest, &error.to_string()))?);
        }
        Ok(all.into())
    }
}

pub(super) fn lost(digest: &Digest, why: &str) -> Error {
    Error::Source {
        what: digest.to_string(),
        why: why.to_owned(),
    }
}

/// Puts all of `plan` into the layout in `folder`, the image as `name`: how many blobs were new, and
/// their bytes.
pub(super) async fn into_layout(
    plan: &Plan,
    giver: Giver<'_>,
    folder: &Path,
    name: Option<String>,
) -> Result<(u64, u64), Error> {
    let folder = folder.to_path_buf();
    let writer = Arc::new(blocking(move || OciWriter::open(&folder)).await?);
    let written = stream::iter(&plan.blobs).map(|(digest, size)| {
        let writer = writer.clone();
        async move { Ok::<_, Error>((copy_blob(writer, giver, digest).await?, *size)) }
    });
    let written: Vec<(bool, u64)> = written.buffer_unordered(AT_ONCE).try_collect().await?;
    let new: Vec<u64> = written
        .iter()
        .filter(|(new, _)| *new)
        .map(|(_, size)| *size)
        .collect();
    let manifests = plan.manifests.clone();
    let entry = |item: &Item, name: Option<String>| Image {
        names: name.into_iter().collect(),
        descriptor: item.descriptor.clone(),
    };
    let mut images = vec![entry(&plan.root, name)];
    images.extend(
        plan.others
            .iter()
            .map(|item| entry(item, item.name.clone())),
    );
    blocking(move || {
        for (digest, manifest) in &manifests {
            writer.manifest(digest, &manifest.bytes)?;
        }
        writer.enter(&images)
    })
    .await?;
    Ok((new.len() as u64, new.iter().sum()))
}

/// Whether the blob had to be written.
async fn copy_blob(
    writer: Arc<OciWriter>,
    giver: Giver<'_>,
    digest: &Digest,
) -> Result<bool, Error> {
    let wanted = digest.clone();
    let mut blob = match blocking(move || writer.add(&wanted)).await? {
        Added::There => return Ok(false),
        Added::Missing(blob) => blob,
    };
    let mut chunks = giver.blob(digest).await?.chunks;
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(chunk) = chunks.next().await {
        batch.extend_from_slice(&chunk.map_err(|error| lost(digest, &error.to_string()))?);
        if batch.len() >= BATCH {
            (blob, batch) = written(blob, batch).await?;
        }
    }
    let (blob, _) = written(blob, batch).await?;
    blocking(move || blob.commit()).await?;
    Ok(true)
}

async fn written(mut blob: BlobWriter, mut batch: Vec<u8>) -> Result<(BlobWriter, Vec<u8>), Error> {
    blocking(move || {
        blob.write(&batch)?;
        batch.clear();
        Ok::<_, layout::Error>((blob, batch))
    })
    .await
}

/// An image for a docker-archive.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// Its manifest.
    pub(super) manifest: &'a [u8],
    /// As docker is to call it: `name:tag`.
    pub(super) names: Vec<String>,
}

/// Puts `images` into a docker-archive at `file`: the digests of their configs, which docker calls
/// their ids.
pub(super) async fn into_archive(
    images: &[Wanted<'_>],
    giver: Giver<'_>,
    file: &Path,
) -> Result<Vec<Digest>, Error> {
    let path = file.to_path_buf();
    let mut archive = blocking(move || ArchiveWriter::create(&path)).await?;
    let mut ids = Vec::new();
    for image in images {
        let layers = Layers::of(image.manifest)?;
        let config = giver.whole(&layers.config).await?;
        let diff_ids = layers.diff_ids(&config)?;
        let missing = layers.layers.iter().zip(diff_ids);
        let missing: Vec<_> = missing.filter(|(_, id)| !archive.has(id)).collect();
        // The next ones are on their way while one is written.
        let mut ahead = stream::iter(missing)
            .map(|(step, id)| async move { (giver.blob(&step.digest).await, id) })
            .buffered(AT_ONCE);
        while let Some((content, diff_id)) = ahead.next().await {
            archive = layer(archive, content?, diff_id).await?;
        }
        drop(ahead);
        let (names, bytes) = (image.names.clone(), config.clone());
        archive = blocking(move || {
            archive.image(&bytes, &names)?;
            Ok::<_, layout::Error>(archive)
        })
        .await?;
        ids.push(layers.config);
    }
    blocking(move || archive.finish()).await?;
    Ok(ids)
}

async fn layer(
    mut archive: ArchiveWriter,
    content: Content,
    diff_id: Digest,
) -> Result<ArchiveWriter, Error> {
    if archive.has(&diff_id) {
        return Ok(archive);
    }
    let (sender, receiver) = mpsc::channel(8);
    let size = content.size;
    let written = blocking(move || {
        let chunks = Chunks {
            receiver,
            current: Bytes::new(),
        };
        archive.layer(&diff_id, chunks, size)?;
        Ok::<_, layout::Error>(archive)
    });
    let mut chunks = content.chunks;
    let sent = async {
        while let Some(chunk) = chunks.next().await {
            if sender.send(chunk.map_err(io::Error::other)).await.is_err() {
                break;
            }
        }
        drop(sender);
    };
    futures_util::future::join(written, sent).await.0
}

/// What comes from elsewhere, for who waits for it on a thread.
struct Chunks {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.current = chunk?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
