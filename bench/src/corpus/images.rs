//! Images of a corpus, which are pushed into a registry; and the least that it takes to mirror them.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::PoisonError;

use anyhow::ensure;
use bytes::Bytes;
use fake_registry::Extent;
use fake_registry::Part;
use fake_registry::Push;
use futures_util::StreamExt as _;
use futures_util::TryStreamExt as _;
use serde_json::Value;
use serde_json::json;
use tokio::sync::Semaphore;

use super::book::Book;
use super::layer::Layer;
use super::maker::Maker;

/// How many repositories are pushed at the same time. In each, one after the other: docker-registry
/// now and then loses a blob that two pushes bring to one repository at the same moment.
const AT_ONCE: usize = 4;
/// MiB of layers that may be in memory while they are pushed; a larger layer has it all for itself.
const MEMORY: u32 = 512;
/// Of so many tags one moves.
const MOVING: usize = 20;

/// A corpus, or a part of one.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    /// By repository.
    pub(crate) all: Vec<Picture>,
    /// What every twentieth of the tags will name when it has moved.
    pub(crate) moved: Vec<Picture>,
}

/// What a tag names.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) repository: String,
    pub(crate) tag: String,
    /// The index.
    pub(crate) root: Part,
    /// One manifest for each platform.
    pub(crate) manifests: Vec<Part>,
    /// Configs and layers, each once.
    pub(crate) blobs: Vec<Blob>,
    /// Signatures, artifacts that refer to the image, and the lists of these.
    pub(crate) companions: Vec<Companion>,
}

/// What is about an image.
#[derive(Clone, Debug)]
pub(crate) struct Companion {
    /// The tag that it has; none for what is found by the digest of what it refers to.
    pub(crate) tag: Option<String>,
    pub(crate) manifest: Part,
    pub(crate) blobs: Vec<Blob>,
}

/// A config, a layer, or an artifact's content.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    /// `sha256:` and the hex.
    pub(crate) digest: String,
    media_type: String,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Bytes(Bytes),
    Layer(Layer),
}

impl Images {
    /// So many of a hundred images of the corpus `name`, spread over its repositories, and one at
    /// least. Hashes all layers: one GiB takes about a second.
    ///
    /// # Errors
    /// When there is no such corpus, or `percent` is not from 1 to 100.
    pub(crate) fn new(book: &Book, name: &str, percent: usize) -> anyhow::Result<Self> {
        ensure!(
            (1..=100).contains(&percent),
            "a scale of {percent} % is none: it must be from 1 to 100"
        );
        let mut maker = Maker::new(book, book.corpus(name)?);
        let mut places = maker.places();
        let mut at = 0;
        places.retain(|_| {
            at += 1;
            at * percent / 100 > (at - 1) * percent / 100
        });
        if places.is_empty() {
            places = maker.places();
            places.truncate(1);
        }
        Ok(Self {
            all: places.iter().map(|place| maker.picture(place)).collect(),
            moved: places
                .iter()
                .step_by(MOVING)
                .map(|place| maker.moved(place))
                .collect(),
        })
    }

    /// What it is made of, counted: with what is about the images, or without.
    pub(crate) fn extent(&self, companions: bool) -> Extent {
        let (mut pairs, mut manifests) = (HashSet::new(), HashSet::new());
        let mut blobs = HashMap::new();
        let mut repositories = HashSet::new();
        for picture in &self.all {
            let name = picture.repository.as_str();
            repositories.insert(name);
            let about = picture.companions.iter().filter(|_| companions);
            let theirs = about.clone().flat_map(|one| &one.blobs);
            for blob in picture.blobs.iter().chain(theirs) {
                pairs.insert((name, blob.digest.as_str()));
                blobs.insert(blob.digest.as_str(), blob.size());
            }
            let own = picture.manifests.iter().chain([&picture.root]);
            let all = own.chain(about.map(|one| &one.manifest));
            manifests.extend(all.map(|part| (name, part.digest.as_str())));
        }
        Extent {
            repositories: repositories.len(),
            tags: self.all.len(),
            manifests: manifests.len(),
            blobs: blobs.len(),
            pairs: pairs.len(),
            bytes: blobs.values().sum(),
        }
    }

    /// The fewest requests that follow the tags that have moved: at the source, one for each tag,
    /// and one for each manifest and blob that is new; at the target, what brings these.
    pub(crate) fn least_of_move(&self) -> [usize; 2] {
        let [mut source, mut target] = [self.all.len(), 0];
        for moved in &self.moved {
            let here = |one: &&Picture| one.repository == moved.repository;
            let old = self.all.iter().filter(here);
            let old: HashSet<&String> = old
                .flat_map(|one| &one.blobs)
                .map(|blob| &blob.digest)
                .collect();
            let blobs = moved.blobs.iter();
            let blobs = blobs.filter(|blob| !old.contains(&blob.digest)).count();
            source += moved.manifests.len() + blobs;
            target += moved.manifests.len() + 1 + 2 * blobs;
        }
        [source, target]
    }

    /// Repositories, in the order of their names, with their tags.
    pub(crate) fn by_repository(&self) -> Vec<(String, Vec<String>)> {
        let mut all: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for picture in &self.all {
            let tags = all.entry(&picture.repository).or_default();
            tags.push(picture.tag.clone());
        }
        let own = |(name, tags): (&str, Vec<String>)| (name.to_owned(), tags);
        all.into_iter().map(own).collect()
    }

    /// Pushes all of it into a registry: with what is about the images, or without. A blob that a
    /// repository has is mounted from there, where the registry can.
    ///
    /// # Errors
    /// The first that the registry refuses, with its words.
    pub(crate) async fn push(&self, push: &Push, companions: bool) -> anyhow::Result<()> {
        let shelf = Shelf {
            push,
            memory: Semaphore::new(MEMORY as usize),
            at: Mutex::default(),
        };
        let mut repositories: BTreeMap<&str, Vec<&Picture>> = BTreeMap::new();
        for picture in &self.all {
            let pictures = repositories.entry(&picture.repository).or_default();
            pictures.push(picture);
        }
        let shelf = &shelf;
        let repositories = repositories.into_values().map(|pictures| async move {
            for picture in pictures {
                crate::stop::check()?;
                shelf.put(picture, companions).await?;
            }
            anyhow::Ok(())
        });
        let repositories = futures_util::stream::iter(repositories).buffer_unordered(AT_ONCE);
        repositories.try_collect().await
    }
}

impl Picture {
    /// Adds a blob, if it is not there yet.
    pub(super) fn add(&mut self, blob: Blob) {
        if self.blobs.iter().all(|one| one.digest != blob.digest) {
            self.blobs.push(blob);
        }
    }

    /// Pushes it into a registry that may have none of it.
    ///
    /// # Errors
    /// When the registry refuses something, with its words.
    pub(crate) async fn push(&self, push: &Push) -> anyhow::Result<()> {
        let shelf = Shelf {
            push,
            memory: Semaphore::new(MEMORY as usize),
            at: Mutex::default(),
        };
        shelf.put(self, false).await
    }

    /// Points its tag at it, in a registry that has all of it.
    ///
    /// # Errors
    /// When the registry refuses it, with its words.
    pub(crate) async fn point(&self, push: &Push) -> anyhow::Result<()> {
        push.manifest(&self.repository, &self.tag, &self.root)
            .await?;
        Ok(())
    }
}

impl Default for Picture {
    fn default() -> Self {
        let root = Part {
            digest: String::new(),
            media_type: String::new(),
            bytes: Bytes::new(),
        };
        Self {
            repository: String::new(),
            tag: String::new(),
            root,
            manifests: Vec::new(),
            blobs: Vec::new(),
            companions: Vec::new(),
        }
    }
}

impl Blob {
    pub(super) fn bytes(media_type: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            digest: fake_registry::digest_of(&bytes),
            media_type: media_type.to_owned(),
            content: Content::Bytes(bytes),
        }
    }

    pub(super) fn layer(layer: Layer, digest: String) -> Self {
        Self {
            digest,
            media_type: layer.framing().media_type().to_owned(),
            content: Content::Layer(layer),
        }
    }

    /// Bytes.
    pub(crate) fn size(&self) -> u64 {
        match &self.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Layer(layer) => layer.size(),
        }
    }

    /// The OCI descriptor.
    pub(super) fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.size()})
    }

    fn part(&self) -> Part {
        Part {
            digest: self.digest.clone(),
            media_type: self.media_type.clone(),
            bytes: match &self.content {
                Content::Bytes(bytes) => bytes.clone(),
                Content::Layer(layer) => layer.bytes(),
            },
        }
    }
}

/// A registry that is filled.
struct Shelf<'a> {
    push: &'a Push,
    memory: Semaphore,
    /// The repositories that are known to have a blob: the first is the one to mount it from.
    at: Mutex<HashMap<String, Vec<String>>>,
}

impl Shelf<'_> {
    async fn put(&self, picture: &Picture, companions: bool) -> anyhow::Result<()> {
        let (name, push) = (&picture.repository, self.push);
        for blob in &picture.blobs {
            self.blob(name, blob).await?;
        }
        for part in &picture.manifests {
            push.manifest(name, &part.digest, part).await?;
        }
        push.manifest(name, &picture.tag, &picture.root).await?;
        for one in picture.companions.iter().filter(|_| companions) {
            for blob in &one.blobs {
                self.blob(name, blob).await?;
            }
            let reference = one.tag.as_ref().unwrap_or(&one.manifest.digest);
            push.manifest(name, reference, &one.manifest).await?;
        }
        Ok(())
    }

    async fn blob(&self, name: &str, blob: &Blob) -> anyhow::Result<()> {
        let had = {
            let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
            at.get(&blob.digest).cloned().unwrap_or_default()
        };
        if had.iter().any(|one| one == name) {
            return Ok(());
        }
        let is_mounted = match had.first() {
            Some(from) => self.push.mount(name, &blob.digest, from).await?,
            None => false,
        };
        if !is_mounted {
            let weight = u32::try_from(blob.size() >> 20).unwrap_or(MEMORY) + 1;
            let _room = self.memory.acquire_many(weight.min(MEMORY)).await?;
            self.push.blob(name, &blob.part()).await?;
        }
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let had = at.entry(blob.digest.clone()).or_default();
        had.push(name.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A corpus of the file, but small.
    fn images(name: &str, percent: usize, seed: u64) -> Images {
        let text = include_str!("../../corpus.toml");
        let at = text.find(&format!("[corpora.{name}]")).unwrap();
        let (head, own) = text.split_at(at);
        let own = own.replacen("seed = 1", &format!("seed = {seed}"), 1);
        let own = match own.find("bytes = ").filter(|_| name != "large") {
            Some(_) => own.replacen("0 MB\"", "0 kB\"", 1),
            None => own.replacen("tags =", "bytes = \"900 kB\"\ntags =", 1),
        };
        let book = Book::parse(&format!("{head}{own}")).unwrap();
        Images::new(&book, name, percent).unwrap()
    }

    fn digests(images: &Images) -> Vec<&str> {
        let all = images.all.iter();
        all.map(|it| it.root.digest.as_str()).collect()
    }

    #[test]
    fn the_corpora_are_what_they_promise() {
        for (name, repositories, tags) in
            [("public", 39, 51), ("quick", 8, 10), ("large", 300, 900)]
        {
            let images = images(name, 100, 1);
            let extent = images.extent(false);
            assert_eq!((extent.repositories, extent.tags), (repositories, tags));
            assert_eq!(images.by_repository().len(), repositories);
            let platforms: usize = images.all.iter().map(|it| it.manifests.len()).sum();
            assert_eq!(extent.manifests, tags + platforms, "{name}");
            assert!(platforms > tags, "{name} is multi-arch");
            assert!(extent.mounts() > repositories, "{name} shares layers");
        }
    }

    #[test]
    fn the_public_one_is_of_200_mb() {
        let book = Book::read(None).unwrap();
        let mut maker = Maker::new(&book, book.corpus("public").unwrap());
        let places = maker.places();
        let layers = maker.sizes(&places);
        let all: u64 = layers.iter().sum();
        assert!((195_000_000..=205_000_000).contains(&all), "{all}");
        let of = |from: u64, to: u64| layers.iter().filter(|it| (from..to).contains(it)).count();
        // Many are small, a few are most of it.
        assert!(of(0, 100_000) * 2 > layers.len());
        let large: u64 = layers.iter().filter(|it| **it > 1_000_000).sum();
        assert!(large * 10 > all * 7, "{large} of {all}");
        assert!(of(1_000_000, u64::MAX) * 4 < layers.len());
        maker = Maker::new(&book, book.corpus("quick").unwrap());
        let quick: u64 = maker.sizes(&maker.places()).iter().sum();
        assert!((39_000_000..=41_000_000).contains(&quick), "{quick}");
        maker = Maker::new(&book, book.corpus("large").unwrap());
        let large = maker.sizes(&maker.places());
        let all: u64 = large.iter().sum();
        assert!((10_000_000_000..100_000_000_000).contains(&all), "{all}");
        assert!(large.iter().any(|it| *it >= 900_000_000));
    }

    #[test]
    fn the_same_seed_gives_the_same_digests() {
        assert_eq!(
            digests(&images("quick", 100, 1)),
            digests(&images("quick", 100, 1))
        );
        let (one, other) = (images("quick", 100, 1), images("quick", 100, 2));
        let other = digests(&other);
        assert!(digests(&one).iter().all(|it| !other.contains(it)));
    }

    #[test]
    fn a_scale_is_a_part_of_the_same_images() {
        let whole = images("public", 100, 1);
        let whole: HashSet<&str> = digests(&whole).into_iter().collect();
        for (percent, tags) in [(1, 1), (10, 5), (25, 12), (50, 25)] {
            let part = images("public", percent, 1);
            assert_eq!(part.all.len(), tags, "{percent}");
            assert!(
                digests(&part).iter().all(|it| whole.contains(it)),
                "{percent}"
            );
        }
        let book = Book::read(None).unwrap();
        for percent in [0, 101] {
            let error = Images::new(&book, "quick", percent)
                .unwrap_err()
                .to_string();
            assert!(error.contains("from 1 to 100"), "{error}");
        }
    }

    #[test]
    fn a_moved_tag_has_its_topmost_layers_new() {
        let images = images("public", 100, 1);
        assert_eq!(images.moved.len(), 3);
        let mut kept = 0;
        for moved in &images.moved {
            let is_it =
                |it: &&Picture| (&it.repository, &it.tag) == (&moved.repository, &moved.tag);
            let old = images.all.iter().find(is_it).unwrap();
            assert_ne!(old.root.digest, moved.root.digest);
            let had: HashSet<&String> = old.blobs.iter().map(|it| &it.digest).collect();
            let is_new = |it: &&Blob| !had.contains(&it.digest);
            let new = moved.blobs.iter().filter(is_new).count();
            assert!(new >= 2 * moved.manifests.len(), "{new}");
            kept += moved.blobs.len() - new;
        }
        assert!(kept > 3, "{kept}");
        // 51 tags; of each moved one two manifests, two configs and two layers.
        let [source, target] = images.least_of_move();
        assert!(
            source >= 51 + 3 * 6 && target >= 3 * (3 + 2 * 4),
            "{source}, {target}"
        );
    }

    #[test]
    fn companions_refer_to_images_and_are_found_by_tags() {
        let images = images("public", 100, 1);
        let (mut signed, mut listed) = (0, 0);
        for picture in &images.all {
            let tag = picture.root.digest.replace(':', "-");
            for one in &picture.companions {
                let json = one.manifest.json();
                match &one.tag {
                    None => assert_eq!(json["subject"]["digest"], picture.root.digest),
                    Some(at) if *at == tag => {
                        listed += 1;
                        let entries = json["manifests"].as_array().unwrap().len();
                        let untagged = picture.companions.iter().filter(|it| it.tag.is_none());
                        assert_eq!(entries, untagged.count());
                    }
                    Some(at) => {
                        signed += 1;
                        assert_eq!(*at, format!("{tag}.sig"));
                    }
                }
            }
        }
        assert!(signed > 10 && listed > 10, "{signed}, {listed}");
        let (without, with) = (images.extent(false), images.extent(true));
        let about = images.all.iter().flat_map(|it| &it.companions).count();
        assert_eq!(with.manifests - without.manifests, about);
        assert!(with.blobs > without.blobs && with.tags == without.tags);
    }
}
