//! `corpus.toml`: what families of images and which corpora there are, read and checked.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use anyhow::bail;
use anyhow::ensure;
use serde::Deserialize;

use super::layer::Framing;
use super::size::Size;

/// The file that is part of this program.
const OWN: &str = include_str!("../../corpus.toml");

/// All of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Book {
    pub(super) sizes: BTreeMap<String, Sizes>,
    pub(super) layers: BTreeMap<String, Shared>,
    #[serde(default)]
    pub(super) artifacts: BTreeMap<String, Artifact>,
    pub(super) families: BTreeMap<String, Family>,
    pub(super) corpora: BTreeMap<String, Corpus>,
}

/// How large layers are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sizes {
    pub(super) classes: Vec<Class>,
}

/// So many of the layers are of a size between these.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Class {
    pub(super) weight: u64,
    pub(super) from: Size,
    pub(super) to: Size,
}

/// A layer that repositories share.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shared {
    pub(super) size: Size,
    pub(super) framing: Framing,
}

/// What refers to images.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Artifact {
    /// Its `artifactType`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) from: Size,
    pub(super) to: Size,
}

/// Repositories that are built on the same layers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Family {
    /// Shared layers, the lowest first.
    pub(super) on: Vec<String>,
    /// `os/architecture` or `os/architecture/variant`.
    pub(super) platforms: Vec<String>,
    /// How many layers a repository has of its own on each platform: from, to.
    pub(super) layers: [usize; 2],
    pub(super) sizes: String,
    pub(super) framing: Framing,
    /// How many of its own layers, the topmost ones, another tag has new.
    pub(super) renewed: usize,
    pub(super) signature: Signature,
    #[serde(default)]
    pub(super) artifacts: Vec<String>,
}

/// How images are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Signature {
    None,
    /// By cosign's tag, `sha256-<hex>.sig`.
    Tag,
    /// By an artifact that refers to the image.
    Referrer,
}

/// A corpus.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Corpus {
    pub(super) seed: u64,
    /// What all layers together are scaled to; as they are without it.
    pub(super) bytes: Option<Size>,
    pub(super) tags: usize,
    /// How many of each family.
    pub(super) repositories: BTreeMap<String, usize>,
}

impl Book {
    /// The file at `path`; the one that is part of this program where none is named.
    ///
    /// # Errors
    /// When it can't be read, or is wrong: says what and where.
    pub(crate) fn read(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Self::parse(OWN).context("bench/corpus.toml");
        };
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("{} can't be read", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// # Errors
    /// As [`Book::read`].
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let book: Self = toml::from_str(text)?;
        for (name, sizes) in &book.sizes {
            sizes.check().with_context(|| format!("sizes.{name}"))?;
        }
        for (name, artifact) in &book.artifacts {
            let at = || format!("artifacts.{name}");
            ensure!(
                artifact.from <= artifact.to,
                "{}: from is more than to",
                at()
            );
        }
        for (name, family) in &book.families {
            book.check_family(family)
                .with_context(|| format!("families.{name}"))?;
        }
        for (name, corpus) in &book.corpora {
            book.check_corpus(corpus)
                .with_context(|| format!("corpora.{name}"))?;
        }
        Ok(book)
    }

    /// The corpus of that name.
    ///
    /// # Errors
    /// When there is none; says which there are.
    pub(super) fn corpus(&self, name: &str) -> anyhow::Result<&Corpus> {
        let found = self.corpora.get(name);
        found.with_context(|| {
            let names: Vec<&str> = self.corpora.keys().map(String::as_str).collect();
            format!(
                "there is no corpus '{name}'; there are: {}",
                names.join(", ")
            )
        })
    }

    fn check_family(&self, family: &Family) -> anyhow::Result<()> {
        for name in &family.on {
            let is_there = self.layers.contains_key(name);
            ensure!(is_there, "on: there is no [layers.{name}]");
        }
        for name in &family.artifacts {
            let is_there = self.artifacts.contains_key(name);
            ensure!(is_there, "artifacts: there is no [artifacts.{name}]");
        }
        let sizes = &family.sizes;
        let is_there = self.sizes.contains_key(sizes);
        ensure!(is_there, "sizes: there is no [sizes.{sizes}]");
        ensure!(!family.platforms.is_empty(), "platforms: there are none");
        for platform in &family.platforms {
            let parts = platform.split('/').filter(|part| !part.is_empty()).count();
            let is_one = parts == platform.split('/').count() && (2..=3).contains(&parts);
            ensure!(
                is_one,
                "platforms: '{platform}' is none, such as linux/amd64"
            );
        }
        let [from, to] = family.layers;
        ensure!(
            from >= 1 && from <= to,
            "layers: {from} to {to} is no range from 1 on"
        );
        let renewed = family.renewed;
        ensure!(
            (1..=from).contains(&renewed),
            "renewed: {renewed} is not from 1 to {from}, the layers that each repository has"
        );
        Ok(())
    }

    fn check_corpus(&self, corpus: &Corpus) -> anyhow::Result<()> {
        let Corpus {
            tags, repositories, ..
        } = corpus;
        for name in repositories.keys() {
            let is_there = self.families.contains_key(name);
            ensure!(is_there, "repositories: there is no [families.{name}]");
        }
        let count: usize = repositories.values().sum();
        ensure!(count > 0, "repositories: there are none");
        if *tags < count {
            bail!("tags: {tags} are too few for {count} repositories, each of which has one");
        }
        Ok(())
    }
}

impl Sizes {
    fn check(&self) -> anyhow::Result<()> {
        let weights: u64 = self.classes.iter().map(|class| class.weight).sum();
        ensure!(weights > 0, "classes: all weights together are 0");
        let turned = self.classes.iter().find(|class| class.from > class.to);
        ensure!(turned.is_none(), "classes: from is more than to");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(from: &str, to: &str) -> String {
        assert!(OWN.contains(from), "{from}");
        let error = Book::parse(&OWN.replacen(from, to, 1)).unwrap_err();
        format!("{error:#}")
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, said) in [
            ("renewed = 1", "renewd = 1", "unknown field `renewd`"),
            ("\"49 MB\"", "\"49 Mb\"", "'49 Mb' is no size"),
            (
                "framing = \"gzip\"",
                "framing = \"xz\"",
                "unknown variant `xz`",
            ),
            (
                "on = [\"debian\", \"debian-tools\"]",
                "on = [\"debain\"]",
                "families.debian: on: there is no [layers.debain]",
            ),
            (
                "artifacts = [\"sbom\"]",
                "artifacts = [\"sbm\"]",
                "families.java: artifacts: there is no [artifacts.sbm]",
            ),
            (
                "sizes = \"heavy\"",
                "sizes = \"hevy\"",
                "families.gpu: sizes: there is no [sizes.hevy]",
            ),
            (
                "linux/arm/v7",
                "linux",
                "families.alpine: platforms: 'linux' is none",
            ),
            (
                "layers = [3, 6]",
                "layers = [3, 2]",
                "families.gpu: layers: 3 to 2",
            ),
            (
                "renewed = 2",
                "renewed = 3",
                "families.python: renewed: 3 is not from 1 to 2",
            ),
            (
                "tags = 51",
                "tags = 38",
                "corpora.public: tags: 38 are too few for 39",
            ),
            (
                "gpu = 4",
                "gpus = 4",
                "corpora.large: repositories: there is no [families.gpus]",
            ),
            (
                "from = \"40 kB\"",
                "from = \"40 MB\"",
                "artifacts.sbom: from is more than to",
            ),
        ] {
            let error = refused(from, to);
            assert!(error.contains(said), "{to}: {error}");
        }
    }

    #[test]
    fn a_corpus_that_is_not_there_is_told_with_those_that_are() {
        let error = Book::read(None).unwrap().corpus("huge").unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no corpus 'huge'; there are: large, public, quick"
        );
    }
}
