//! Many images that share layers, in the shape of the corpora that sync tools are compared with:
//! 39 repositories, 52 tags, 156 manifests, 388 blobs, and 520 pairs of a repository and a blob
//! that it needs.  Nobody can mirror it with less than 388 uploads and 132 mounts.

use std::collections::HashMap;
use std::collections::HashSet;

use futures_util::StreamExt as _;
use futures_util::TryStreamExt as _;
use serde_json::Value;
use serde_json::json;

use crate::image::Image;
use crate::image::OCI_INDEX;
use crate::image::OCI_MANIFEST;
use crate::image::Part;
use crate::image::Push;
use crate::image::PushError;
use crate::image::layer::noise;
use crate::image::layer::pack;
use crate::random::Random;

/// How many repositories are pushed at the same time.
const AT_ONCE: usize = 4;

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const PLATFORMS: [&str; 2] = ["amd64", "arm64"];

/// Repositories, and the images in them.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// In the order of their names.
    pub repositories: Vec<Shelf>,
}

/// A repository of a [`Corpus`].
#[derive(Clone, Debug)]
pub struct Shelf {
    /// Its name.
    pub name: String,
    /// Tags, and what they name.
    pub tags: Vec<(String, Image)>,
}

/// What a mirror of a [`Corpus`] is made of, and so the least that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Repositories.
    pub repositories: usize,
    /// Tags.
    pub tags: usize,
    /// Manifests, indexes among them: a GET and a PUT each.
    pub manifests: usize,
    /// Different blobs: a GET, a POST and a PUT each.
    pub blobs: usize,
    /// Pairs of a repository and a blob that it needs.
    pub pairs: usize,
    /// The bytes of the blobs, each once.
    pub bytes: u64,
}

impl Extent {
    /// Mounts, where each blob is uploaded once: a POST each.
    pub fn mounts(&self) -> usize {
        self.pairs - self.blobs
    }

    /// The fewest requests that bring it into an empty registry.
    pub fn least_requests(&self) -> usize {
        2 * self.blobs + self.mounts() + self.manifests
    }
}

/// Repositories that are built on the same layers.
struct Family {
    name: &'static str,
    repositories: usize,
    /// The shared layers, from the lowest on.
    base: &'static [Base],
}

/// A shared layer: its number, and its weight in KiB.
#[derive(Clone, Copy)]
struct Base(u64, u64);

const DEBIAN: Base = Base(1, 10_000);
const ALPINE: Base = Base(2, 2_500);
const FAMILIES: [Family; 6] = [
    Family {
        name: "debian",
        repositories: 12,
        base: &[DEBIAN],
    },
    Family {
        name: "java",
        repositories: 6,
        base: &[DEBIAN, Base(3, 6_000), Base(4, 6_000), Base(5, 6_000)],
    },
    Family {
        name: "python",
        repositories: 9,
        base: &[ALPINE, Base(6, 5_000)],
    },
    Family {
        name: "alpine",
        repositories: 3,
        base: &[ALPINE],
    },
    Family {
        name: "ubi",
        repositories: 4,
        base: &[
            Base(7, 8_000),
            Base(8, 4_000),
            Base(9, 4_000),
            Base(10, 2_000),
            Base(11, 2_000),
        ],
    },
    Family {
        name: "scratch",
        repositories: 5,
        base: &[],
    },
];

/// Layers of its own that a repository has on each platform are three; the first repositories have
/// one more.
const LARGER: usize = 14;
/// Every third repository has a second tag.
const EVERY: usize = 3;

impl Corpus {
    /// Blobs of about `bytes` bytes in all; another seed, other bytes.
    pub fn new(seed: u64, bytes: u64) -> Self {
        let made = HashMap::new();
        let mut maker = Maker { seed, bytes, made };
        let mut repositories = Vec::new();
        for family in &FAMILIES {
            for number in 0..family.repositories {
                let at = repositories.len();
                repositories.push(maker.shelf(family, (number, at)));
            }
        }
        Self { repositories }
    }

    /// All images, with their repository's name and their tag.
    pub fn images(&self) -> impl Iterator<Item = (&str, &str, &Image)> {
        self.repositories.iter().flat_map(|shelf| {
            let tags = shelf.tags.iter();
            tags.map(|(tag, image)| (shelf.name.as_str(), tag.as_str(), image))
        })
    }

    /// Pushes all of it into a real registry, four repositories at a time, the images of each in
    /// turn: docker-registry now and then loses a blob that two pushes bring to one repository at
    /// the same moment.
    ///
    /// # Errors
    /// The first that the registry refuses, with its words.
    pub async fn push_http(&self, push: &Push) -> Result<(), PushError> {
        let shelves = self.repositories.iter().map(|shelf| async move {
            for (tag, image) in &shelf.tags {
                image.push_http(push, &shelf.name, tag).await?;
            }
            Ok(())
        });
        let shelves = futures_util::stream::iter(shelves).buffer_unordered(AT_ONCE);
        shelves.try_collect().await
    }

    /// What it is made of, counted.
    pub fn extent(&self) -> Extent {
        let (mut pairs, mut blobs, mut manifests) =
            (HashSet::new(), HashSet::new(), HashSet::new());
        let (mut bytes, mut tags) = (0, 0);
        for (name, _, image) in self.images() {
            tags += 1;
            for blob in &image.blobs {
                pairs.insert((name, &blob.digest));
                if blobs.insert(&blob.digest) {
                    bytes += blob.bytes.len() as u64;
                }
            }
            let all = image.manifests.iter().chain([&image.root]);
            manifests.extend(all.map(|part| (name, &part.digest)));
        }
        Extent {
            repositories: self.repositories.len(),
            tags,
            manifests: manifests.len(),
            blobs: blobs.len(),
            pairs: pairs.len(),
            bytes,
        }
    }
}

struct Maker {
    seed: u64,
    bytes: u64,
    /// Layers by number, with the digests of what is in them.
    made: HashMap<u64, (Part, String)>,
}

impl Maker {
    fn shelf(&mut self, family: &Family, (number, at): (usize, usize)) -> Shelf {
        let own = 3 + usize::from(at < LARGER);
        let count = 1 + usize::from(at.is_multiple_of(EVERY));
        let tags = (0..count).map(|tag| {
            // Two tags share all layers but the last one.
            let layers: Vec<usize> = match (count, tag) {
                (1, _) => (0..own).collect(),
                (_, 0) => (0..own - 1).collect(),
                _ => (0..own - 2).chain([own - 1]).collect(),
            };
            let image = self.image(family, at, &layers);
            (format!("v{}", tag + 1), image)
        });
        Shelf {
            name: format!("{0}/{0}-{number:02}", family.name),
            tags: tags.collect(),
        }
    }

    fn image(&mut self, family: &Family, at: usize, own: &[usize]) -> Image {
        let mut blobs = Vec::new();
        let mut entries = Vec::new();
        let mut manifests = Vec::new();
        for (platform, architecture) in PLATFORMS.iter().enumerate() {
            let layers = self.layers(family, (at, own), platform as u64);
            let config = json!({
                "architecture": architecture,
                "os": "linux",
                "created": "2025-01-01T00:00:00Z",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": ids(&layers)},
            });
            let config = Part::new(OCI_CONFIG, config.to_string());
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": config.descriptor(),
                "layers": layers.iter().map(|(part, _)| part.descriptor()).collect::<Vec<_>>(),
            });
            let manifest = Part::new(OCI_MANIFEST, manifest.to_string());
            let mut entry = manifest.descriptor();
            entry["platform"] = json!({"os": "linux", "architecture": architecture});
            entries.push(entry);
            manifests.push(manifest);
            blobs.push(config);
            blobs.extend(layers.into_iter().map(|(part, _)| part));
        }
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
        Image {
            root: Part::new(OCI_INDEX, index.to_string()),
            manifests,
            blobs,
        }
    }

    /// The layers of an image, and the digests of what is in them.
    fn layers(
        &mut self,
        family: &Family,
        (at, own): (usize, &[usize]),
        platform: u64,
    ) -> Vec<(Part, String)> {
        let mut layers = Vec::new();
        for Base(number, weight) in family.base {
            layers.push(self.layer(number << 8 | platform, *weight));
        }
        for layer in own {
            let number = (at as u64 + 1) << 24 | (*layer as u64) << 16 | platform;
            // From 20 KiB to 2 MiB, as many of 20 to 200 KiB as of 0.2 to 2 MiB.
            let exponent = (Random::new(self.seed ^ number).next_u64() % 1000) as f64 / 1000.0;
            layers.push(self.layer(number, (20.0 * 100_f64.powf(exponent)) as u64));
        }
        layers
    }

    /// The layer of this number.
    fn layer(&mut self, number: u64, weight: u64) -> (Part, String) {
        let share = weight as f64 / WEIGHT as f64;
        let size = (self.bytes as f64 * share) as usize;
        let seed = self.seed ^ number.wrapping_mul(0x9e37_79b9);
        let make = || {
            let layer = pack(&[noise(seed, size.max(64))]);
            (Part::new(OCI_LAYER, layer.bytes), layer.diff_id)
        };
        self.made.entry(number).or_insert_with(make).clone()
    }
}

/// The weights of all layers together, in KiB: those of the shared ones, and what the others come
/// to.
const WEIGHT: u64 = 2 * 55_500 + 262 * 430;

fn ids(layers: &[(Part, String)]) -> Vec<Value> {
    layers
        .iter()
        .map(|(_, diff_id)| diff_id.as_str().into())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_shape_that_others_are_measured_with() {
        let extent = Corpus::new(1, 1 << 20).extent();
        let expected = Extent {
            repositories: 39,
            tags: 52,
            manifests: 156,
            blobs: 388,
            pairs: 520,
            bytes: extent.bytes,
        };
        assert_eq!(extent, expected);
        assert_eq!((extent.mounts(), extent.least_requests()), (132, 1064));
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let digests = |seed| -> Vec<String> {
            let corpus = Corpus::new(seed, 1 << 20);
            let roots = corpus
                .images()
                .map(|(_, _, image)| image.digest().to_owned());
            roots.collect()
        };
        assert_eq!(digests(1), digests(1));
        assert_ne!(digests(1), digests(2));
    }

    #[test]
    fn is_about_as_large_as_it_is_told() {
        let bytes = Corpus::new(1, 8 << 20).extent().bytes as f64;
        let share = bytes / f64::from(8 << 20);
        assert!((0.8..1.3).contains(&share), "{share}");
    }
}
