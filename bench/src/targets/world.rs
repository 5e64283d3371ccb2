//! The registry that everything comes from, and the empty one that it goes to.

use std::path::Path;
use std::time::Duration;

use fake_registry::Access;
use fake_registry::DockerRegistry;
use fake_registry::Extent;
use fake_registry::Part;
use fake_registry::Pki;
use fake_registry::Push;

use super::Count;
use super::Options;
use crate::corpus::book::Book;
use crate::corpus::images::Companion;
use crate::corpus::images::Images;
use crate::corpus::images::Picture;
use crate::folder::Folder;

/// The source with a corpus in it, over TLS; and who signs certificates.
pub(super) struct World {
    pub(super) pki: Pki,
    pub(super) source: DockerRegistry,
    pub(super) images: Vec<Wanted>,
    /// Repositories and their tags.
    pub(super) repositories: Vec<(String, Vec<String>)>,
    /// What is about images, too, or images alone.
    pub(super) companions: bool,
    pub(super) extent: Extent,
    /// The fewest requests at source and target that follow the tags that move.
    pub(super) least_of_move: [usize; 2],
    before: Vec<Picture>,
    after: Vec<Picture>,
    _folder: Folder,
}

/// An image that is to be mirrored.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) tag: String,
    digest: String,
    manifests: Vec<String>,
    blobs: Vec<String>,
    /// Tags of what is about it, and what each names; of a list, what it lists.
    tagged: Vec<(String, Vec<String>)>,
}

/// An empty target over TLS, and a folder for whoever fills it.
pub(super) struct Stage {
    pub(super) target: DockerRegistry,
    pub(super) folder: Folder,
    /// How many requests the source had answered before.
    before: usize,
}

/// How long a registry may take to write its last lines. They follow the answers.
const LAST_LINES: Duration = Duration::from_millis(200);

impl World {
    /// Starts the source, and puts so many of a hundred images of the corpus into it, with what is
    /// about them (`companions`) or without.
    ///
    /// # Errors
    /// When there is no such corpus, or a signal ends the run.
    pub(super) async fn start(
        options: &Options,
        percent: usize,
        companions: bool,
    ) -> anyhow::Result<Self> {
        let book = Book::read(options.corpus_file.as_deref())?;
        eprintln!("making {percent} % of the corpus '{}'", options.corpus);
        let images = Images::new(&book, &options.corpus, percent)?;
        let folder = Folder::new(&options.dir)?;
        let pki = Pki::new();
        let source = DockerRegistry::builder()
            .storage(folder.path())
            .tls(&pki, &[])
            .start()
            .await;
        eprintln!("putting it into the source");
        let push = Push::to(&source.url(), source.client());
        images.push(&push, companions).await?;
        let is_moved = |it: &&Picture| {
            let mut moved = images.moved.iter();
            moved.any(|one| (&one.repository, &one.tag) == (&it.repository, &it.tag))
        };
        Ok(Self {
            images: images
                .all
                .iter()
                .map(|picture| Wanted::of(picture, companions))
                .collect(),
            repositories: images.by_repository(),
            companions,
            extent: images.extent(companions),
            least_of_move: images.least_of_move(),
            before: images.all.iter().filter(is_moved).cloned().collect(),
            after: images.moved,
            pki,
            source,
            _folder: folder,
        })
    }

    /// Moves every twentieth tag to another image: which they are, and their new digests.
    pub(super) async fn move_some(&self) -> anyhow::Result<Vec<(String, String, String)>> {
        let push = Push::to(&self.source.url(), self.source.client());
        let mut moved = Vec::new();
        for picture in &self.after {
            picture.push(&push).await?;
            let Picture {
                repository,
                tag,
                root,
                ..
            } = picture;
            moved.push((repository.clone(), tag.clone(), root.digest.clone()));
        }
        Ok(moved)
    }

    /// Moves them back.
    pub(super) async fn move_back(&self) -> anyhow::Result<()> {
        let push = Push::to(&self.source.url(), self.source.client());
        for picture in &self.before {
            picture.point(&push).await?;
        }
        Ok(())
    }

    /// An empty target.
    pub(super) async fn stage(&self, parent: &Path) -> anyhow::Result<Stage> {
        let folder = Folder::new(parent)?;
        let target = DockerRegistry::builder()
            .storage(folder.path().join("target"))
            .tls(&self.pki, &[])
            .start()
            .await;
        tokio::time::sleep(LAST_LINES).await;
        Ok(Stage {
            target,
            folder,
            before: self.source.access().len(),
        })
    }

    /// What the source was asked since the stage was set.
    pub(super) async fn asked_of_source(&self, stage: &Stage) -> Count {
        tokio::time::sleep(LAST_LINES).await;
        let log: Vec<Access> = self.source.access();
        Count::of(&log[stage.before.min(log.len())..])
    }

    /// What the target was asked.
    pub(super) async fn asked_of_target(&self, stage: &Stage) -> Count {
        tokio::time::sleep(LAST_LINES).await;
        Count::of(&stage.target.access())
    }

    /// How many images are not wholly in the target, where each has the name that `place` says.
    pub(super) fn lacking(&self, stage: &Stage, place: impl Fn(&str) -> String) -> usize {
        let lacks = |wanted: &&Wanted| !wanted.is_in(&stage.target, &place(&wanted.name));
        self.images.iter().filter(lacks).count()
    }

    /// Whether all tags are in the target.
    pub(super) fn all_tagged(&self, stage: &Stage, place: impl Fn(&str) -> String) -> bool {
        let mut images = self.images.iter();
        images.all(|wanted| wanted.is_tagged(&stage.target, &place(&wanted.name)))
    }
}

impl Wanted {
    fn of(picture: &Picture, companions: bool) -> Self {
        let of = |part: &Part| part.digest.clone();
        let about = || picture.companions.iter().filter(|_| companions);
        // A list is written anew by whoever brings what it lists.
        let is_no_list = |one: &&Companion| listed(one).is_empty();
        let manifests = about().filter(is_no_list).map(|one| of(&one.manifest));
        let blobs = picture
            .blobs
            .iter()
            .chain(about().flat_map(|one| &one.blobs));
        let tagged = about().filter_map(|one| {
            let named = match listed(&one) {
                list if list.is_empty() => vec![of(&one.manifest)],
                list => list,
            };
            Some((one.tag.clone()?, named))
        });
        Self {
            name: picture.repository.clone(),
            tag: picture.tag.clone(),
            digest: of(&picture.root),
            manifests: picture.manifests.iter().map(of).chain(manifests).collect(),
            blobs: blobs.map(|blob| blob.digest.clone()).collect(),
            tagged: tagged.collect(),
        }
    }

    fn is_tagged(&self, target: &DockerRegistry, name: &str) -> bool {
        target.tag(name, &self.tag).as_deref() == Some(&self.digest)
    }

    fn is_in(&self, target: &DockerRegistry, name: &str) -> bool {
        let mut parts = self.manifests.iter().chain(&self.blobs);
        let mut tagged = self.tagged.iter();
        self.is_tagged(target, name)
            && parts.all(|digest| target.holds(name, digest))
            && tagged.all(|(tag, named)| names(target, (name, tag), named))
    }
}

/// The digests that a list of referrers has; none for what is no list.
fn listed(one: &&Companion) -> Vec<String> {
    digests(&one.manifest.bytes)
}

fn digests(manifest: &[u8]) -> Vec<String> {
    let json: serde_json::Value = serde_json::from_slice(manifest).unwrap_or_default();
    let entries = json["manifests"].as_array().into_iter().flatten();
    let entries = entries.filter_map(|entry| entry["digest"].as_str());
    entries.map(str::to_owned).collect()
}

/// Whether a tag of the target names this, or a list with all of these.
fn names(target: &DockerRegistry, (name, tag): (&str, &str), wanted: &[String]) -> bool {
    let Some(digest) = target.tag(name, tag) else {
        return false;
    };
    if wanted == [digest.as_str()] {
        return true;
    }
    let hex = digest.trim_start_matches("sha256:");
    let blobs = target.storage().join("docker/registry/v2/blobs/sha256");
    let file = blobs.join(&hex[..2.min(hex.len())]).join(hex).join("data");
    let listed = digests(&std::fs::read(file).unwrap_or_default());
    wanted.iter().all(|one| listed.contains(one))
}
