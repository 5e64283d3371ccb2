//! What an OpenShift release consists of: the release image, and the components that a file in it
//! names, each by its digest.

use futures_util::future::join_all;

use super::Asked;
use crate::flow;
use crate::oci::Digest;
use crate::oci::Index;
use crate::oci::Reference;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::prefetch::Release;
use crate::prefetch::Wanted;
use crate::prefetch::release::Architecture;
use crate::target::Cause;
use crate::target::Manifest;
use crate::target::Missing;
use crate::target::Pace;

pub(super) mod components;
pub(super) mod layers;

use components::Component;

/// Tells what a release consists of: the components first, the release image last, for whoever sees
/// it may want all of them.
pub(super) async fn discover(asked: Asked<'_>, release: &Release) {
    let each = release.architectures().iter().map(|architecture| {
        let build = Build {
            asked,
            release,
            architecture: *architecture,
        };
        async move { build.tell().await }
    });
    join_all(each).await;
}

/// A release for one architecture, being read.
#[derive(Clone, Copy)]
struct Build<'a> {
    asked: Asked<'a>,
    release: &'a Release,
    architecture: Architecture,
}

/// The release image.
struct Root {
    tag: Tag,
    digest: Digest,
}

impl Build<'_> {
    async fn tell(self) {
        let told = match self.root().await {
            Ok(root) => self.components(&root).await.map(|all| (root, all)),
            Err(why) => Err(why),
        };
        let (root, components) = match told {
            Ok(told) => told,
            Err(why) => {
                let what = format!("{} ({})", self.release, self.architecture.in_tags());
                return self.asked.failed(what, why).await;
            }
        };
        let components = components.into_iter();
        let all = components.map(|it| self.component(&root, it));
        let last = Wanted {
            reference: Reference::Tag(root.tag.clone()),
            ..self.wanted(
                self.release.repository(),
                Some(root.tag.clone()),
                root.digest.clone(),
            )
        };
        for wanted in all.chain([last]) {
            if !self.asked.wanted(wanted).await {
                return;
            }
        }
    }

    /// The release image: `<version>-<architecture>`, or, where others have their releases, just the
    /// version, as OKD does it.
    async fn root(self) -> Result<Root, String> {
        let repository = self.release.repository();
        let tags = self.release.tags(self.architecture);
        for tag in &tags {
            let asked = self.asked.flow();
            match asked.resolve(repository, tag, false, self.cause()).await {
                Ok(found) => {
                    return Ok(Root {
                        tag: tag.clone(),
                        digest: found.digest,
                    });
                }
                Err(flow::Error::NoManifest(..)) => {}
                Err(error @ flow::Error::UnknownUpstream(_)) => {
                    return Err(format!(
                        "{error}: releases come from {repository}; name it as [[upstream]], or say \
                         where they are: {}@REGISTRY/NAME",
                        self.release
                    ));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        let tags = tags.join(" or ");
        Err(format!(
            "{repository} has no {tags}: there is no such release"
        ))
    }

    /// What the release consists of, besides its image.
    async fn components(self, root: &Root) -> Result<Vec<Component>, String> {
        let manifest = self.image(root).await?;
        let said = |why: String| format!("{}:{}: {why}", self.release.repository(), root.tag);
        let file = layers::find(self, &manifest).await.map_err(said)?;
        let components = components::read(&file).map_err(said)?;
        if components.version != self.release.version() {
            let version = &components.version;
            tracing::warn!("{} calls itself {version}", self.release);
        }
        for component in &components.all {
            let upstream = &component.repository.upstream;
            if !self.asked.flow().knows(upstream) && self.release.is_usual() {
                return Err(said(format!(
                    "its component {} is at {upstream}, which is not a configured upstream",
                    component.name
                )));
            }
        }
        Ok(components.all)
    }

    /// The release image's own manifest; of several, the one for the architecture.
    async fn image(self, root: &Root) -> Result<Manifest, String> {
        let manifest = self.manifest(&root.digest).await?;
        let Some(index) = Index::parse(&manifest.bytes) else {
            return Ok(manifest);
        };
        let platform = self.architecture.platform().parse().ok();
        let one = match index.one(platform.as_ref()) {
            Ok(one) => one,
            // All images of a release for several name the same components.
            Err(why) => index.first().ok_or(why)?,
        };
        self.manifest(&one).await
    }

    async fn manifest(self, digest: &Digest) -> Result<Manifest, String> {
        let supply = self.asked.flow().supply();
        let repository = self.release.repository();
        let got = supply.manifest(repository, digest, self.cause()).await;
        got.map_err(|missing: Missing| missing.to_string())
    }

    /// A component, under its customary tag. Where the registry that it is said to be at is not known
    /// here, it is beside its release, as whoever mirrors a release puts it.
    fn component(self, root: &Root, component: Component) -> Wanted {
        let repository = match self.asked.flow().knows(&component.repository.upstream) {
            true => &component.repository,
            false => self.release.repository(),
        };
        let tag = component.tag_beside(&root.tag);
        self.wanted(repository, tag, component.digest)
    }

    fn wanted(self, repository: &Repository, tag: Option<Tag>, digest: Digest) -> Wanted {
        let mut immutable = self.asked.set.immutable.iter();
        let is_immutable = |tag: &Tag| immutable.any(|pattern| pattern.fits(tag.as_str()));
        Wanted {
            repository: repository.clone(),
            reference: Reference::Digest(digest.clone()),
            immutable: tag.as_ref().is_some_and(is_immutable),
            tag,
            digest: Some(digest),
        }
    }

    fn cause(self) -> Cause {
        Cause {
            flow: self.asked.cause,
            pace: Pace::Background,
            ours: true,
        }
    }
}
