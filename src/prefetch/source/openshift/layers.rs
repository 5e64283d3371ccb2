//! Finds a file in an image without unpacking it: from the topmost layer down, each read as it comes.

use std::io;
use std::io::Read;

use bytes::Buf as _;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::Build;
use crate::layout;
use crate::oci::Digest;
use crate::oci::DigestError;
use crate::registry::Content;
use crate::target::Manifest;

/// The file that names the components of a release.
pub(super) const PLACE: &str = "release-manifests/image-references";
/// What marks it as removed in a layer (image spec, layer.md, "Whiteouts").
const REMOVED: [&str; 3] = [
    "release-manifests/.wh.image-references",
    "release-manifests/.wh..wh..opq",
    ".wh.release-manifests",
];
/// The longest such file that is read, in bytes: a hundred times a real one.
const LONGEST: u64 = 16 << 20;

#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Layer {
    digest: String,
}

/// What a layer has to say of the file.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::prefetch::source) enum Told {
    /// This is it.
    Found(Vec<u8>),
    /// It was removed: those below don't count.
    Removed,
    /// Nothing.
    Silent,
}

/// What is said of an image that has no such file.
pub(in crate::prefetch::source) fn none() -> String {
    format!("there is no {PLACE} in it: it is no release image")
}

/// The layers of an image's manifest, the topmost first.
///
/// # Errors
/// When it is no image.
pub(in crate::prefetch::source) fn listed(manifest: &[u8]) -> Result<Vec<Digest>, String> {
    let fields: Fields = serde_json::from_slice(manifest).map_err(|_| none())?;
    let layers = fields.layers.iter().rev();
    let digests = layers.map(|layer| layer.digest.parse());
    let digests: Result<_, DigestError> = digests.collect();
    digests.map_err(|error| error.to_string())
}

/// The file of the image that `manifest` describes. Layers below the one that has it are not fetched.
///
/// # Errors
/// When no layer has it, or one can't be had or read: says which.
pub(super) async fn find(build: Build<'_>, manifest: &Manifest) -> Result<Vec<u8>, String> {
    for digest in listed(&manifest.bytes)? {
        let supply = build.asked.flow().supply();
        let repository = build.release.repository();
        let content = supply.blob(repository, &digest, build.cause()).await;
        let content = content.map_err(|missing| missing.to_string())?;
        let told = look(content).await;
        match told.map_err(|error| format!("its layer {digest} can't be read: {error}"))? {
            Told::Found(file) => return Ok(file),
            Told::Removed => break,
            Told::Silent => {}
        }
    }
    Err(none())
}

/// Reads a layer as it comes, on a thread that may wait, and no further than it must.
async fn look(content: Content) -> io::Result<Told> {
    let (sender, receiver) = mpsc::channel(4);
    let size = content.size;
    let mut looking = tokio::task::spawn_blocking(move || {
        let chunks = Chunks {
            receiver,
            current: Bytes::new(),
            left: size,
        };
        search(layout::unpacked(chunks, size)?)
    });
    let mut chunks = content.chunks;
    let feeding = async move {
        while let Some(chunk) = chunks.next().await {
            if sender.send(chunk.map_err(io::Error::other)).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        biased;
        told = &mut looking => return told.map_err(io::Error::other)?,
        () = feeding => {}
    }
    looking.await.map_err(io::Error::other)?
}

/// Reads a layer, no further than to the file.
///
/// # Errors
/// When it is no tar file, or breaks off.
pub(in crate::prefetch::source) fn search(layer: impl Read) -> io::Result<Told> {
    let mut told = Told::Silent;
    // Raw: nothing of an extended header is held in memory. This name needs none.
    for entry in tar::Archive::new(layer).entries()?.raw(true) {
        let entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = path.trim_start_matches("./").trim_start_matches('/');
        if REMOVED.contains(&path) {
            told = Told::Removed;
        }
        if path != PLACE {
            continue;
        }
        if !entry.header().entry_type().is_file() || entry.size() > LONGEST {
            let what = format!("{PLACE} is no file, or one of more than {LONGEST} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let mut file = Vec::new();
        entry.take(LONGEST).read_to_end(&mut file)?;
        return Ok(Told::Found(file));
    }
    Ok(told)
}

/// What comes from elsewhere, for who waits for it on a thread.
struct Chunks {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
    /// What has not come yet, in bytes.
    left: u64,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.current = chunk?,
                None if self.left > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        self.left = self.left.saturating_sub(length as u64);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, *bytes).unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn told(files: &[(&str, &[u8])]) -> Told {
        search(&layer(files)[..]).unwrap()
    }

    #[test]
    fn finds_the_file_whatever_is_around_it() {
        let other = ("release-manifests/0000_03_config.yaml", &b"a: b"[..]);
        assert_eq!(told(&[other]), Told::Silent);
        let found = told(&[other, (PLACE, b"{}"), ("z", b"z")]);
        assert_eq!(found, Told::Found(b"{}".to_vec()));
        let near = ("other/release-manifests/image-references", &b"x"[..]);
        assert_eq!(told(&[near]), Told::Silent);
    }

    #[test]
    fn what_was_removed_is_not_looked_for_below() {
        for mark in REMOVED {
            assert_eq!(told(&[("a", b"a"), (mark, b"")]), Told::Removed, "{mark}");
            let again = told(&[(mark, b""), (PLACE, b"new")]);
            assert_eq!(again, Told::Found(b"new".to_vec()), "{mark}");
        }
    }

    #[test]
    fn a_link_is_no_file() {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive
            .append_link(&mut header, PLACE, "/etc/passwd")
            .unwrap();
        assert!(search(&archive.into_inner().unwrap()[..]).is_err());
    }

    #[test]
    fn what_breaks_off_is_an_error() {
        let whole = layer(&[("a", &[7; 3000]), (PLACE, b"{}")]);
        assert!(search(&whole[..2000]).is_err());
    }
}
