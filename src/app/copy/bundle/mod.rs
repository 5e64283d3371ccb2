//! All that sets select, on its way across a gap: an OCI layout in a folder or in one tar file, and a
//! list of what is in it.
//!
//! The list says what belongs to which image, so that the other side needs no order among the files,
//! and what it has once it has taken this in, so that the next export can leave that out: an increment
//! has all manifests of the images that are new to it, and of their blobs those that are new. What is
//! entered there is whole: an image that lacks something is left out, and said to be.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;

use super::Error;
use crate::layout;
use crate::layout::Packing;
use crate::layout::Reel;
use crate::oci::Digest;

mod export;
mod import;

pub use export::Exported;
pub use export::Exporting;
pub use export::export_sets;
pub use import::Imported;
pub use import::import_all;

/// Where a bundle is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bundle {
    /// In a folder.
    Folder(PathBuf),
    /// In one tar file.
    Reel(PathBuf, Packing),
}

/// The list, within a bundle.
const LIST: &str = "tidegate-export.json";
/// The longest list that is read, in bytes: one of some hundred thousand images.
const LONGEST: u64 = 512 << 20;
/// The only form of it.
const VERSION: u32 = 1;

/// What is in a bundle, and what is known of the other side.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct List {
    version: u32,
    /// When it was made.
    created: Timestamp,
    /// When the one was made that this is an increment to.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// The sets that were exported.
    sets: Vec<String>,
    /// Those that the other side has not, or not as they are now.
    images: Vec<Entry>,
    /// The media types of all their manifests.
    media_types: BTreeMap<Digest, String>,
    /// What the other side has once it has taken this in, by `UPSTREAM/NAME:TAG`.
    tags: BTreeMap<String, Digest>,
    /// The manifests and blobs that it has then.
    known: BTreeSet<Digest>,
}

/// An image.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Entry {
    /// `UPSTREAM/NAME:TAG@DIGEST`, or without a tag.
    image: String,
    /// Its manifests, and those of what refers to it; of an index those that were stored.
    manifests: BTreeSet<Digest>,
    /// All that they name, whether it is in the bundle or not.
    blobs: BTreeSet<Digest>,
    /// Tags of what refers to it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    others: BTreeMap<String, Digest>,
}

impl Entry {
    /// All that it consists of.
    fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.manifests.iter().chain(&self.blobs)
    }
}

impl List {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none, or of another version: says why.
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let list: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match list.version {
            VERSION => Ok(list),
            other => Err(format!(
                "it is of version {other}, and only {VERSION} is known here; use a newer tidegate"
            )),
        }
    }

    /// Of the export at `path`: its list, the archive that it is in, or the layout's folder. Blocks.
    fn of_last(path: &Path) -> Result<Self, Error> {
        let wrong = |why: String| Error::Source {
            what: path.display().to_string(),
            why: format!("this is neither an export of a set nor its list: {why}"),
        };
        let said = |error: std::io::Error| wrong(error.to_string());
        let bytes = match Packing::named(path) {
            Some(_) => list_of_reel(path)?.ok_or_else(|| wrong(format!("it has no {LIST}")))?,
            None if path.is_dir() => std::fs::read(path.join(LIST)).map_err(said)?,
            None => std::fs::read(path).map_err(said)?,
        };
        Self::read(&bytes).map_err(wrong)
    }
}

/// The list of a bundle in a tar file, which is at its start.
fn list_of_reel(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let mut found = None;
    Reel::open(path)?.each(|part| {
        if part.name == LIST {
            found = Some(whole(part.bytes, part.size, path)?);
        }
        Ok::<_, Error>(
            match found.is_some() || layout::content(part.name).is_some() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            },
        )
    })?;
    Ok(found)
}

/// All of a list.
fn whole(bytes: &mut dyn Read, size: u64, path: &Path) -> Result<Vec<u8>, Error> {
    let said = |why: String| Error::Source {
        what: path.display().to_string(),
        why,
    };
    if size > LONGEST {
        return Err(said(format!("its {LIST} is longer than any list")));
    }
    let mut all = Vec::new();
    let read = bytes.take(LONGEST).read_to_end(&mut all);
    read.map_err(|error| said(error.to_string()))?;
    Ok(all)
}

impl Bundle {
    /// Reads what people write: `oci:DIR`, or a file whose name ends as a tar file's.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("oci:");
        if let Some(path) = path.filter(|path| !path.is_empty()) {
            return Ok(Self::Folder(path.into()));
        }
        let file = PathBuf::from(text);
        match Packing::named(&file) {
            Some(packing) if path.is_none() => Ok(Self::Reel(file, packing)),
            _ => Err(format!(
                "'{text}' is no place for sets: expected oci:DIR, or a file that ends with .tar, \
                 .tar.gz or .tar.zst"
            )),
        }
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "oci:{}", folder.display()),
            Self::Reel(file, _) => write!(f, "{}", file.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_where_sets_may_go() {
        for (text, packing) in [
            ("a.tar", Packing::None),
            ("/a/b.tar.gz", Packing::Gzip),
            ("b.tgz", Packing::Gzip),
            ("./c.d.tar.zst", Packing::Zstd),
        ] {
            let read = Bundle::parse(text).unwrap();
            assert_eq!(read, Bundle::Reel(text.into(), packing), "{text}");
            assert_eq!(read.to_string(), text);
        }
        let folder = Bundle::parse("oci:/a/b.tar").unwrap();
        assert_eq!(folder, Bundle::Folder("/a/b.tar".into()));
        for text in [
            "",
            "oci:",
            "a",
            ".tar",
            "a.zip",
            "docker-archive:a.tgz.x",
            "a/",
        ] {
            assert!(Bundle::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn other_versions_are_refused() {
        let list = |version: u32| {
            format!(
                r#"{{"version":{version},"created":"2026-03-01T00:00:00Z","sets":[],"images":[],
                    "media_types":{{}},"tags":{{}},"known":[]}}"#
            )
        };
        assert!(List::read(list(1).as_bytes()).is_ok());
        let refused = List::read(list(2).as_bytes()).unwrap_err();
        assert!(refused.contains("version 2"), "{refused}");
        assert!(List::read(b"{}").is_err());
    }
}
