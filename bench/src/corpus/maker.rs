//! From a description to images: which layers each has, and the manifests that name them.

use std::collections::HashMap;
use std::collections::HashSet;

use fake_registry::Part;
use fake_registry::Random;
use fake_registry::digest_of;
use serde_json::Value;
use serde_json::json;

use super::book::Artifact;
use super::book::Book;
use super::book::Corpus;
use super::book::Family;
use super::book::Signature;
use super::images::Blob;
use super::images::Companion;
use super::images::Picture;
use super::layer::Layer;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// What cosign signs with.
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Bytes of a signature's payload, about.
const SIGNATURE: u64 = 250;

/// A tag of a repository.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    family: &'a str,
    number: usize,
    /// Which tag of its repository.
    tag: usize,
    /// How often it has moved.
    moved: usize,
}

/// Makes images, and remembers the digests of layers.
pub(super) struct Maker<'a> {
    book: &'a Book,
    corpus: &'a Corpus,
    seed: u64,
    /// What each size is multiplied by.
    factor: f64,
    digests: HashMap<Layer, String>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(book: &'a Book, corpus: &'a Corpus) -> Self {
        let mut maker = Self {
            book,
            corpus,
            seed: corpus.seed,
            factor: 1.0,
            digests: HashMap::new(),
        };
        if let Some(bytes) = corpus.bytes {
            let places = maker.places();
            let layers = places.iter().flat_map(|place| maker.layers_of(place));
            let layers: HashSet<Layer> = layers.collect();
            let all: u64 = layers.iter().map(Layer::size).sum();
            maker.factor = bytes.0 as f64 / all as f64;
        }
        maker
    }

    /// All tags, by repository. Those that repositories have more than one of are spread evenly.
    pub(super) fn places(&self) -> Vec<Place<'a>> {
        let families = self.corpus.repositories.iter();
        let repositories: Vec<(&str, usize)> = families
            .flat_map(|(family, count)| (0..*count).map(move |number| (family.as_str(), number)))
            .collect();
        let (all, count) = (self.corpus.tags, repositories.len());
        let mut places = Vec::new();
        for (at, (family, number)) in repositories.into_iter().enumerate() {
            let tags = (at + 1) * all / count - at * all / count;
            places.extend((0..tags).map(|tag| Place {
                family,
                number,
                tag,
                moved: 0,
            }));
        }
        places
    }

    fn family(&self, place: &Place<'_>) -> &'a Family {
        // The book was checked.
        &self.book.families[place.family]
    }

    /// The sizes of the layers of all these, each layer once.
    #[cfg(test)]
    pub(super) fn sizes(&self, places: &[Place<'a>]) -> Vec<u64> {
        let layers: HashSet<Layer> = places.iter().flat_map(|it| self.layers_of(it)).collect();
        layers.iter().map(Layer::size).collect()
    }

    /// The layers of all platforms.
    fn layers_of(&self, place: &Place<'a>) -> Vec<Layer> {
        let platforms = &self.family(place).platforms;
        let of = |platform: &String| self.layers(place, platform);
        platforms.iter().flat_map(of).collect()
    }

    /// The layers of one platform, the lowest first.
    fn layers(&self, place: &Place<'a>, platform: &str) -> Vec<Layer> {
        let family = self.family(place);
        let shared = family.on.iter().map(|name| {
            let shared = &self.book.layers[name];
            let seed = self.seed(&format!("layers/{name}/{platform}"));
            let size = self.scaled(shared.size.0 as f64);
            Layer::new(seed, size, shared.framing)
        });
        let repository = place.repository();
        let [from, to] = family.layers;
        let mut random = Random::new(self.seed(&format!("{repository}/layers")));
        let own = from + random.next_u64() as usize % (to - from + 1);
        let own = (0..own).map(|at| {
            // The topmost ones are another tag's own, too; those below are the repository's.
            let is_renewed = at + family.renewed >= own;
            let (tag, moved) = match is_renewed {
                true => (place.tag, place.moved),
                false => (0, 0),
            };
            // As large as the one that it is in place of.
            let size = self.seed(&format!("{repository}/{at}"));
            let size = self.scaled(self.drawn(&family.sizes, size));
            let seed = self.seed(&format!("{repository}/{at}/{platform}/{tag}/{moved}"));
            Layer::new(seed, size, family.framing)
        });
        shared.chain(own).collect()
    }

    /// A size out of a distribution.
    fn drawn(&self, sizes: &str, seed: u64) -> f64 {
        let classes = &self.book.sizes[sizes].classes;
        let mut random = Random::new(seed);
        let all: u64 = classes.iter().map(|class| class.weight).sum();
        let mut at = random.next_u64() % all;
        for class in classes {
            if at < class.weight {
                return between(class.from.0, class.to.0, &mut random);
            }
            at -= class.weight;
        }
        0.0
    }

    fn scaled(&self, size: f64) -> u64 {
        (size * self.factor) as u64
    }

    /// Another number for another text, or for another seed of the corpus (FNV-1a).
    fn seed(&self, text: &str) -> u64 {
        let start = 0xcbf2_9ce4_8422_2325 ^ self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        text.bytes().fold(start, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// The image that a tag names, with all that is about it.
    pub(super) fn picture(&mut self, place: &Place<'a>) -> Picture {
        let family = self.family(place);
        let mut picture = Picture {
            repository: place.repository(),
            tag: format!("v{}", place.tag + 1),
            ..Picture::default()
        };
        let mut entries = Vec::new();
        for platform in &family.platforms {
            let layers: Vec<Blob> = self
                .layers(place, platform)
                .into_iter()
                .map(|layer| self.blob(layer))
                .collect();
            let mut parts = platform.split('/');
            let mut kind = json!({"os": parts.next(), "architecture": parts.next()});
            if let Some(variant) = parts.next() {
                kind["variant"] = variant.into();
            }
            let config = config(&kind, place, &layers);
            let manifest = manifest(&config, &layers, Value::Null);
            let mut entry = manifest.descriptor();
            entry["platform"] = kind;
            entries.push(entry);
            picture.manifests.push(manifest);
            picture.add(config);
            layers.into_iter().for_each(|layer| picture.add(layer));
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        picture.root = part(INDEX, &index);
        if place.moved == 0 {
            picture.companions = self.companions(place, &picture.root);
        }
        picture
    }

    /// The same tag, moved: its topmost layers are others, and nobody has signed it yet.
    pub(super) fn moved(&mut self, place: &Place<'a>) -> Picture {
        self.picture(&Place {
            moved: 1,
            ..place.clone()
        })
    }

    fn blob(&mut self, layer: Layer) -> Blob {
        let digest = self.digests.entry(layer).or_insert_with(|| layer.digest());
        Blob::layer(layer, digest.clone())
    }

    /// What is about an image: artifacts that refer to it, the list of these where a registry has no
    /// API for it, and its signature.
    fn companions(&mut self, place: &Place<'a>, root: &Part) -> Vec<Companion> {
        let family = self.family(place);
        let at = format!("{}/{}", place.repository(), place.tag);
        let mut all = Vec::new();
        for name in &family.artifacts {
            let Artifact { kind, from, to } = &self.book.artifacts[name];
            let seed = self.seed(&format!("{at}/{name}"));
            let size = self.scaled(between(from.0, to.0, &mut Random::new(seed)));
            all.push(referrer(kind, (seed, size), root));
        }
        let seed = self.seed(&format!("{at}/signature"));
        if family.signature == Signature::Referrer {
            all.push(referrer(SIMPLE, (seed, SIGNATURE), root));
        }
        if !all.is_empty() {
            let list = fallback(root, &all);
            all.push(list);
        }
        if family.signature == Signature::Tag {
            let layer = Blob::bytes(SIMPLE, words(seed, SIGNATURE));
            let config = Blob::bytes(CONFIG, json!({"architecture": "", "os": ""}).to_string());
            let manifest = manifest(&config, std::slice::from_ref(&layer), Value::Null);
            all.push(Companion {
                tag: Some(format!("{}.sig", tag_of(root))),
                manifest,
                blobs: vec![config, layer],
            });
        }
        all
    }
}

impl Place<'_> {
    fn repository(&self) -> String {
        format!("{0}/{0}-{1:02}", self.family, self.number)
    }
}

/// Somewhere between, as likely near the one as near the other by orders of magnitude.
fn between(from: u64, to: u64, random: &mut Random) -> f64 {
    let share = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    from as f64 * (to as f64 / from as f64).powf(share)
}

fn part(media_type: &str, json: &Value) -> Part {
    let bytes = json.to_string();
    Part {
        digest: digest_of(bytes.as_bytes()),
        media_type: media_type.to_owned(),
        bytes: bytes.into(),
    }
}

fn config(platform: &Value, place: &Place<'_>, layers: &[Blob]) -> Blob {
    let ids: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
    let mut config = json!({
        "created": "2025-01-01T00:00:00Z",
        "config": {"Labels": {"org.opencontainers.image.title": place.repository()}},
        "rootfs": {"type": "layers", "diff_ids": ids},
    });
    for (key, value) in platform.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    Blob::bytes(CONFIG, config.to_string())
}

fn manifest(config: &Blob, layers: &[Blob], more: Value) -> Part {
    let layers: Vec<Value> = layers.iter().map(Blob::descriptor).collect();
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor(),
        "layers": layers,
    });
    if let Value::Object(more) = more {
        for (key, value) in more {
            manifest[&key] = value;
        }
    }
    part(MANIFEST, &manifest)
}

/// An artifact of about `size` bytes that refers to `root` (image spec, manifest.md, `subject`).
fn referrer(kind: &str, (seed, size): (u64, u64), root: &Part) -> Companion {
    let config = Blob::bytes(EMPTY, "{}");
    let layer = Blob::bytes(kind, words(seed, size));
    let more = json!({"artifactType": kind, "subject": root.descriptor()});
    Companion {
        tag: None,
        manifest: manifest(&config, std::slice::from_ref(&layer), more),
        blobs: vec![config, layer],
    }
}

/// The list of what refers to `root`, under the tag where clients look for it in a registry without
/// the API (distribution spec, "Referrers Tag Schema").
fn fallback(root: &Part, referrers: &[Companion]) -> Companion {
    let entries = referrers.iter().map(|one| {
        let mut entry = one.manifest.descriptor();
        entry["artifactType"] = one.manifest.json()["artifactType"].clone();
        entry
    });
    let entries: Vec<Value> = entries.collect();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    Companion {
        tag: Some(tag_of(root)),
        manifest: part(INDEX, &index),
        blobs: Vec::new(),
    }
}

/// A digest, as a tag.
fn tag_of(root: &Part) -> String {
    root.digest.replace(':', "-")
}

/// JSON of about `size` bytes that is like no other.
fn words(seed: u64, size: u64) -> String {
    let mut random = Random::new(seed);
    let mut text = String::from("{\"content\":\"");
    while (text.len() as u64) < size {
        text += &format!("{:016x}", random.next_u64());
    }
    text + "\"}"
}
