//! The registry that everything comes from, and the empty one that it goes to.

use std::path::Path;
use std::time::Duration;

use fake_registry::Access;
use fake_registry::Corpus;
use fake_registry::DockerRegistry;
use fake_registry::Extent;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::Pki;
use fake_registry::Push;
use tempfile::TempDir;

use super::Count;
use super::Options;
use crate::peers;

/// The source with the corpus in it, over TLS; and who signs certificates.
pub(super) struct World {
    pub(super) pki: Pki,
    pub(super) source: DockerRegistry,
    pub(super) images: Vec<Wanted>,
    pub(super) extent: Extent,
    /// Every twentieth of them.
    some: Vec<(String, String, Image)>,
    _folder: TempDir,
}

/// An image that is to be mirrored.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) tag: String,
    digest: String,
    manifests: Vec<String>,
    blobs: Vec<String>,
}

/// An empty target over TLS, and a folder for whoever fills it.
pub(super) struct Stage {
    pub(super) target: DockerRegistry,
    pub(super) folder: TempDir,
    /// How many requests the source had answered before.
    before: usize,
}

/// How long a registry may take to write its last lines. They follow the answers.
const LAST_LINES: Duration = Duration::from_millis(200);

impl World {
    /// Starts the source, and puts the corpus into it.
    pub(super) async fn start(options: &Options) -> anyhow::Result<Self> {
        let folder = peers::folder(&options.dir)?;
        let pki = Pki::new();
        let source = DockerRegistry::builder()
            .storage(folder.path())
            .tls(&pki, &[])
            .start()
            .await;
        eprintln!("putting the corpus into the source");
        let corpus = Corpus::new(options.seed, options.megabytes * 1_000_000);
        let push = Push::to(&source.url(), source.client());
        corpus.push_http(&push).await?;
        crate::stop::check()?;
        Ok(Self {
            images: corpus.images().map(Wanted::of).collect(),
            extent: corpus.extent(),
            some: corpus
                .images()
                .step_by(20)
                .map(|(name, tag, image)| (name.to_owned(), tag.to_owned(), image.clone()))
                .collect(),
            pki,
            source,
            _folder: folder,
        })
    }

    /// Moves every twentieth tag to another image: which they are, and their new digests.
    pub(super) async fn move_some(&self) -> anyhow::Result<Vec<(String, String, String)>> {
        let push = Push::to(&self.source.url(), self.source.client());
        let mut moved = Vec::new();
        for (seed, (name, tag, _)) in self.some.iter().enumerate() {
            let image = ImageBuilder::new(90_000 + seed as u64)
                .layers(3)
                .layer_size(400_000)
                .build();
            image.push_http(&push, name, tag).await?;
            moved.push((name.clone(), tag.clone(), image.digest().to_owned()));
        }
        Ok(moved)
    }

    /// Moves them back.
    pub(super) async fn move_back(&self) -> anyhow::Result<()> {
        let push = Push::to(&self.source.url(), self.source.client());
        for (name, tag, image) in &self.some {
            image.push_http(&push, name, tag).await?;
        }
        Ok(())
    }

    /// An empty target.
    pub(super) async fn stage(&self, parent: &Path) -> anyhow::Result<Stage> {
        let folder = peers::folder(parent)?;
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
    fn of((name, tag, image): (&str, &str, &Image)) -> Self {
        let digests = |parts: &[fake_registry::Part]| -> Vec<String> {
            parts.iter().map(|part| part.digest.clone()).collect()
        };
        Self {
            name: name.to_owned(),
            tag: tag.to_owned(),
            digest: image.digest().to_owned(),
            manifests: digests(&image.manifests),
            blobs: digests(&image.blobs),
        }
    }

    fn is_tagged(&self, target: &DockerRegistry, name: &str) -> bool {
        target.tag(name, &self.tag).as_deref() == Some(&self.digest)
    }

    fn is_in(&self, target: &DockerRegistry, name: &str) -> bool {
        let mut parts = self.manifests.iter().chain(&self.blobs);
        self.is_tagged(target, name) && parts.all(|digest| target.holds(name, digest))
    }
}
