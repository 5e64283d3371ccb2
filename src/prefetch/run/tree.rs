//! The manifests that an image is made of.

use std::collections::HashSet;

use futures_util::StreamExt as _;
use futures_util::TryStreamExt as _;
use futures_util::stream;

use crate::oci;
use crate::oci::Descriptor;
use crate::oci::Digest;
use crate::oci::Index;
use crate::oci::Platform;
use crate::oci::Repository;
use crate::target::Cause;
use crate::target::Missing;
use crate::target::Supply;

/// All that an image names, as far as it is wanted.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The image's manifest first.
    pub(super) manifests: Vec<Digest>,
    /// Each once.
    pub(super) blobs: Vec<Descriptor>,
}

/// The most manifests that one image may come with.
const MOST: usize = 2000;
/// How many are asked for at once.
const AT_ONCE: usize = 8;

impl Tree {
    /// Reads the manifests from wherever they are. Where `platforms` are named, only theirs are read
    /// of an index, and what is about them.
    ///
    /// # Errors
    /// When one can't be had, or the index has none of the platforms.
    pub(super) async fn read(
        supply: &dyn Supply,
        (repository, root): (&Repository, &Digest),
        platforms: &[Platform],
        cause: Cause,
    ) -> Result<Self, Missing> {
        let mut tree = Self::default();
        let (mut seen, mut blobs) = (HashSet::from([root.clone()]), HashSet::new());
        let mut next = vec![root.clone()];
        while !next.is_empty() {
            let level = std::mem::take(&mut next).into_iter();
            let asked = level.map(|digest| async move {
                let manifest = supply.manifest(repository, &digest, cause).await?;
                Ok::<_, Missing>((digest, manifest))
            });
            let mut came = stream::iter(asked.collect::<Vec<_>>()).buffered(AT_ONCE);
            while let Some((digest, manifest)) = came.try_next().await? {
                let named = oci::Manifest::parse(&manifest.bytes);
                for (digest, size) in named.blobs.into_iter().zip(named.sizes) {
                    if blobs.insert(digest.clone()) {
                        tree.blobs.push(blob(digest, size));
                    }
                }
                let children = match digest == *root && !named.manifests.is_empty() {
                    true => wanted(&manifest.bytes, named.manifests, platforms)?,
                    false => named.manifests,
                };
                next.extend(children.into_iter().filter(|it| seen.insert(it.clone())));
                tree.manifests.push(digest);
            }
            if seen.len() > MOST {
                let why = format!("it comes with more than {MOST} manifests");
                return Err(Missing::Gone(why));
            }
        }
        Ok(tree)
    }
}

/// Those of the wanted platforms that the index has, and what is about them.
fn wanted(index: &[u8], all: Vec<Digest>, platforms: &[Platform]) -> Result<Vec<Digest>, Missing> {
    let Some(index) = Index::parse(index).filter(|_| !platforms.is_empty()) else {
        return Ok(all);
    };
    let is_there = |it: &&Platform| index.choose(std::slice::from_ref(it)).is_ok();
    let there: Vec<Platform> = platforms.iter().filter(is_there).cloned().collect();
    let chosen = match there.is_empty() {
        true => index.choose(platforms),
        false => index.choose(&there),
    };
    chosen.map_err(Missing::Gone)
}

fn blob(digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: "application/octet-stream".into(),
        digest,
        size,
    }
}
