use super::Look;
use crate::layout;
use crate::oci::Digest;
use crate::oci::Index;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::prefetch::Release;
use crate::prefetch::release::Architecture;
use crate::prefetch::source::openshift::components;
use crate::prefetch::source::openshift::components::Component;
use crate::prefetch::source::openshift::layers;
use crate::prefetch::source::openshift::layers::Told;
use crate::store;

impl Look<'_> {
    /// A release of which all was brought before.
    pub(super) fn release(&mut self, release: &Release) -> Result<(), store::Error> {
        for architecture in release.architectures() {
            if let Err(why) = self.build(release, *architecture)? {
                let what = format!("{release} ({})", architecture.in_tags());
                self.failed(&what, &why);
            }
        }
        Ok(())
    }

    fn build(
        &mut self,
        release: &Release,
        architecture: Architecture,
    ) -> Result<Result<(), String>, store::Error> {
        let repository = release.repository();
        let mut root = None;
        for tag in release.tags(architecture) {
            if let Some(digest) = self.store.tag(repository, &tag)? {
                root = Some((tag, digest));
                break;
            }
        }
        let Some((tag, digest)) = root else {
            return Ok(Err("its release image is not in the store".to_owned()));
        };
        let components = match self.components(repository, &digest, architecture)? {
            Ok(components) => components,
            Err(why) => return Ok(Err(format!("{repository}:{tag}: {why}"))),
        };
        for component in components {
            self.component(repository, &tag, component)?;
        }
        self.wanted(repository, Some(tag), digest);
        Ok(Ok(()))
    }

    fn component(
        &mut self,
        release: &Repository,
        tag: &Tag,
        component: Component,
    ) -> Result<(), store::Error> {
        let digest = component.digest.clone();
        let own = component.tag_beside(tag);
        for repository in [&component.repository, release] {
            if self.store.manifest(repository, &digest)?.is_some() {
                self.wanted(repository, own, digest);
                return Ok(());
            }
        }
        let what = format!("{}@{digest}", component.repository);
        self.failed(&what, "it is not in the store");
        Ok(())
    }

    fn components(
        &self,
        repository: &Repository,
        digest: &Digest,
        architecture: Architecture,
    ) -> Result<Result<Vec<Component>, String>, store::Error> {
        let lacks = |digest: &Digest| Ok(Err(format!("{digest} is not in the store")));
        let Some(mut manifest) = self.store.manifest(repository, digest)? else {
            return lacks(digest);
        };
        if let Some(index) = Index::parse(&manifest.bytes) {
            let platform = architecture.platform().parse().ok();
            let own = index.one(platform.as_ref()).ok();
            let stored = |digest: &Digest| self.store.manifest(repository, digest);
            let mut found = None;
            for digest in own.into_iter().chain(index.first()) {
                found = found.or(stored(&digest)?);
            }
            match found {
                Some(found) => manifest = found,
                None => return Ok(Err("no platform of it is in the store".to_owned())),
            }
        }
        let layers = match layers::listed(&manifest.bytes) {
            Ok(layers) => layers,
            Err(why) => return Ok(Err(why)),
        };
        for layer in layers {
            let Some((file, size)) = self.store.blob(&layer)? else {
                return lacks(&layer);
            };
            let told = layout::unpacked(file, size).and_then(layers::search);
            match told {
                Ok(Told::Found(file)) => return Ok(components::read(&file).map(|it| it.all)),
                Ok(Told::Removed) => break,
                Ok(Told::Silent) => {}
                Err(error) => {
                    return Ok(Err(format!("its layer {layer} can't be read: {error}")));
                }
            }
        }
        Ok(Err(layers::none()))
    }
}
