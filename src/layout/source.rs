use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::Blob;
use super::Error;
use super::LONGEST;
use super::Location;
use super::files::Files;
use super::index;
use super::place;
use super::saved;
use super::saved::Made;
use crate::oci;
use crate::oci::Descriptor;
use crate::oci::Digest;
use crate::oci::Hasher;
use crate::oci::media;

/// A layout or an archive that is read from. What it has open stays as it is if the folder's names
/// change.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    files: Files,
    made: Made,
    images: Vec<Image>,
}

/// An image of a layout or an archive: an entry of its list of contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What it is called there; empty for one that goes by its digest alone.
    pub names: Vec<String>,
    /// Its manifest or index.
    pub descriptor: Descriptor,
}

/// A manifest or an index, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// As it calls itself, else guessed from its shape.
    pub media_type: Arc<str>,
    /// Its bytes, which have the digest that was asked for.
    pub bytes: Bytes,
}

impl Source {
    /// Opens what is at `location`.
    ///
    /// # Errors
    /// When it can't be read, or is neither a layout nor an archive.
    pub fn open(location: &Location) -> Result<Self, Error> {
        match location {
            Location::Oci { folder, .. } => {
                let files = Files::folder(folder)?;
                match files.read(index::MARK, folder)? {
                    Some(mark) => Self::layout(folder, files, &mark),
                    None => {
                        let why = "this is no OCI layout: it has no file oci-layout";
                        Err(Error::wrong(folder, why))
                    }
                }
            }
            Location::Archive { file, .. } => {
                let files = Files::tape(file)?;
                if let Some(mark) = files.read(index::MARK, file)? {
                    return Self::layout(file, files, &mark).map(Self::narrowed);
                }
                let list = files.read(saved::FILE, file)?;
                let list = list.ok_or_else(|| {
                    let why = "this is no docker-archive: it has no manifest.json; make it with \
                               `docker save`";
                    Error::wrong(file, why)
                })?;
                let made = Made::of(&list, &files, file)?;
                Ok(Self {
                    path: file.clone(),
                    images: made.images.clone(),
                    files,
                    made,
                })
            }
        }
    }

    fn layout(path: &Path, files: Files, mark: &[u8]) -> Result<Self, Error> {
        let wrong = |why| Error::wrong(path, why);
        index::check_mark(mark).map_err(wrong)?;
        let list = files.read(index::FILE, path)?;
        let list = list.ok_or_else(|| {
            Error::wrong(
                path,
                "it has no index.json; whoever wrote it did not finish",
            )
        })?;
        let images = index::images(&list);
        let images = images.map_err(|why| Error::wrong(path, format!("its index.json: {why}")))?;
        Ok(Self {
            path: path.to_path_buf(),
            files,
            made: Made::default(),
            images,
        })
    }

    /// An archive may have one platform of an index that names several: `docker save` writes what
    /// the engine has. Then that one is the image.
    fn narrowed(mut self) -> Self {
        for at in 0..self.images.len() {
            let digest = &self.images[at].descriptor.digest;
            let Ok(Some(manifest)) = self.manifest(digest) else {
                continue;
            };
            let Ok(children) = index::images(&manifest.bytes) else {
                continue;
            };
            let mut there: Vec<Descriptor> =
                children.iter().map(|it| it.descriptor.clone()).collect();
            there.retain(|child| matches!(self.manifest(&child.digest), Ok(Some(_))));
            if there.len() < children.len()
                && let [only] = &there[..]
            {
                self.images[at].descriptor = only.clone();
            }
        }
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it has, in its own order.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The image called `name`, which may be a digest; without one, the only image. What refers to
    /// another image (signatures, for one) does not count as one then.
    ///
    /// # Errors
    /// When there is none, or there are several; the error names what there is.
    pub fn choose(&self, name: Option<&str>) -> Result<Image, Error> {
        let unnamed = |why: String| Error::Unnamed {
            path: self.path.clone(),
            why,
        };
        let Some(name) = name else {
            let own: Vec<&Image> = self.images.iter().filter(|it| !self.refers(it)).collect();
            return match own[..] {
                [only] => Ok(only.clone()),
                [] => Err(unnamed("there is no image in it".to_owned())),
                _ => Err(unnamed(format!(
                    "there are several images in it; name one of them behind a colon: {}",
                    names(&own)
                ))),
            };
        };
        if let Ok(digest) = name.parse::<Digest>() {
            let manifest = self.manifest(&digest)?;
            let manifest =
                manifest.ok_or_else(|| unnamed(format!("there is no {digest} in it")))?;
            return Ok(Image {
                names: Vec::new(),
                descriptor: Descriptor {
                    media_type: manifest.media_type,
                    digest,
                    size: manifest.bytes.len() as u64,
                },
            });
        }
        let wanted = [
            name.to_owned(),
            format!("docker.io/{name}"),
            format!("docker.io/library/{name}"),
        ];
        let is_meant = |image: &&Image| image.names.iter().any(|name| wanted.contains(name));
        self.images.iter().find(is_meant).cloned().ok_or_else(|| {
            let all: Vec<&Image> = self.images.iter().collect();
            unnamed(format!(
                "there is no image {name} in it, but {}",
                names(&all)
            ))
        })
    }

    /// Whether it is about another image: by its `subject`, or by its name, which cosign and the
    /// referrers tag schema of the distribution spec make of the other's digest.
    fn refers(&self, image: &Image) -> bool {
        let is_digest = |name: &String| name.starts_with("sha256-") || name.starts_with("sha512-");
        if image.names.iter().any(is_digest) {
            return true;
        }
        let manifest = self.manifest(&image.descriptor.digest).ok().flatten();
        manifest.is_some_and(|it| oci::Manifest::parse(&it.bytes).subject.is_some())
    }

    /// What refers to the manifest `subject`: entries of the list of contents, and those of an index
    /// that is called after it (distribution spec, "Referrers Tag Schema").
    ///
    /// # Errors
    /// When a manifest that is listed can't be read.
    pub fn referrers(&self, subject: &Digest) -> Result<Vec<Digest>, Error> {
        let schema = format!("{}-{}", subject.algorithm().as_str(), subject.hex());
        let mut found = Vec::new();
        for image in &self.images {
            let digest = &image.descriptor.digest;
            let Some(manifest) = self.manifest(digest)? else {
                continue;
            };
            let names = oci::Manifest::parse(&manifest.bytes);
            if names.subject.as_ref() == Some(subject) {
                found.push(digest.clone());
            }
            if image.names.contains(&schema) {
                found.extend(names.manifests);
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// A manifest or an index; `None` where it is not there.
    ///
    /// # Errors
    /// When it can't be read, or its bytes have another digest.
    pub fn manifest(&self, digest: &Digest) -> Result<Option<Manifest>, Error> {
        if let Some(manifest) = self.made.manifests.get(digest) {
            return Ok(Some(manifest.clone()));
        }
        let Some(span) = self.files.find(&place(digest), &self.path)? else {
            return Ok(None);
        };
        let bytes = span.whole(LONGEST, &self.path)?;
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(&bytes);
        if hasher.finish() != *digest {
            let why = format!("{digest} holds other bytes than its digest says");
            return Err(Error::wrong(&self.path, why));
        }
        Ok(Some(Manifest {
            media_type: media::of_manifest(&bytes).into(),
            bytes: bytes.into(),
        }))
    }

    /// A blob; `None` where it is not there.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn blob(&self, digest: &Digest) -> Result<Option<Blob>, Error> {
        let span = match self.made.blobs.get(digest) {
            Some(span) => Some(span.clone()),
            None => self.files.find(&place(digest), &self.path)?,
        };
        Ok(span.map(|span| Blob::new(span, digest)))
    }
}

/// What people are told that they can choose from.
fn names(images: &[&Image]) -> String {
    let name = |image: &&Image| match image.names.last() {
        Some(name) => name.clone(),
        None => image.descriptor.digest.to_string(),
    };
    let mut all: Vec<String> = images.iter().take(20).map(name).collect();
    if images.len() > all.len() {
        all.push("...".to_owned());
    }
    match all.is_empty() {
        true => "nothing".to_owned(),
        false => all.join(", "),
    }
}
