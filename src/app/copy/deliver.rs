//! A planned copy, to its target.

use std::sync::Arc;

use super::Connection;
use super::Copy as Wish;
use super::End;
use super::Error;
use super::Reference;
use super::Report;
use super::pack;
use super::pack::Giver;
use super::plan::Item;
use super::plan::Plan;
use super::push;
use super::push::Pusher;
use super::push::Survey;
use crate::config::Config;
use crate::layout::Location;
use crate::ledger::Leg;
use crate::oci::Digest;
use crate::oci::Tag;
use crate::registry;
use crate::target;
use crate::target::Mirrored;
use crate::target::Supply;

/// A registry that is copied into.
#[derive(Clone, Copy, Debug)]
pub(super) struct IntoRegistry<'a> {
    pub(super) wish: &'a Wish,
    pub(super) config: &'a Config,
    pub(super) connection: Connection<'a>,
    pub(super) at: &'a Reference,
}

impl IntoRegistry<'_> {
    /// Puts all of `plan` there.
    pub(super) async fn copy(
        &self,
        plan: &Plan,
        supply: Arc<dyn Supply>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let root = &plan.root.descriptor.digest;
        if let Some(wanted) = self.at.digest.as_ref().filter(|wanted| *wanted != root) {
            return Err(Error::Usage(format!(
                "the source is {root}, so that it can't be {wanted} at the target"
            )));
        }
        let host = &self.at.repository.upstream;
        let registry = self
            .config
            .registry(host, Leg::Target, self.connection.plain_http);
        let into = push::Into {
            at: self.at,
            registry,
            is_part: plan.part.is_some(),
            folder: self.connection.folder,
            ledger: self.connection.ledger,
            flow: self.connection.flow,
        };
        let from = match &self.wish.source {
            End::Registry(from) if from.repository.upstream == *host => {
                Some((&from.repository.name, plan))
            }
            _ => None,
        };
        let pusher = Pusher::begin(into, supply, from).await?;
        let pushed = self.push(&pusher, plan, report).await;
        pusher.end().await;
        pushed
    }

    async fn push(&self, pusher: &Pusher, plan: &Plan, report: &mut Report) -> Result<(), Error> {
        let root = &plan.root.descriptor.digest;
        let tag = self.at.tag.as_ref();
        let survey = pusher.survey(plan, tag).await?;
        if survey != Survey::Done {
            for child in plan.part.iter().flatten() {
                report.count(pusher.push(child, None).await.map_err(Error::Target)?);
            }
            let pushed = pusher.push(root, tag.cloned()).await;
            report.count(pushed.map_err(|error| match &plan.part {
                Some(part) if is_about_a_part(&error) => not_sparse(self.wish, part, &error),
                _ => Error::Target(error),
            })?);
        }
        for item in &plan.others {
            match self.push_item(pusher, item, survey).await {
                Ok(mirrored) => report.count(mirrored),
                Err(error) => {
                    let name = item.name.clone();
                    let name = name.unwrap_or_else(|| item.descriptor.digest.to_string());
                    report.failed.push(format!("{name}: {error}"));
                }
            }
        }
        if self.wish.verify && !pusher.has(root, tag).await? {
            return Err(Error::Source {
                what: self.wish.target.to_string(),
                why: format!("it is not {root} after the copy; does somebody else push there?"),
            });
        }
        Ok(())
    }

    /// Puts what refers to the image there, if it is not there.
    async fn push_item(
        &self,
        pusher: &Pusher,
        item: &Item,
        survey: Survey,
    ) -> Result<Mirrored, Error> {
        let tag: Option<Tag> = item.name.as_ref().and_then(|name| name.parse().ok());
        let digest = &item.descriptor.digest;
        if survey != Survey::New && pusher.has(digest, tag.as_ref()).await? {
            return Ok(Mirrored::default());
        }
        pusher.push(digest, tag).await.map_err(Error::Target)
    }
}

/// Whether the target wants all manifests of an index.
fn is_about_a_part(error: &target::Error) -> bool {
    use registry::Error::BlobUnknown;
    use target::Error::Registry;
    let lacks = |error: &registry::Error| matches!(error, BlobUnknown(_));
    matches!(error, target::Error::Waits { .. })
        || matches!(error, Registry { error, .. } if lacks(error))
}

/// An index of which only a part is there: some registries take it.
fn not_sparse(wish: &Wish, part: &[Digest], error: &target::Error) -> Error {
    let source = match &wish.source {
        End::Registry(reference) => reference.repository.to_string(),
        End::Disk(location) => location.to_string(),
    };
    let one = part.first().map(ToString::to_string).unwrap_or_default();
    let by = match &wish.source {
        End::Registry(_) => '@',
        End::Disk(_) => ':',
    };
    Error::Usage(format!(
        "the target does not take an index whose platforms are not all there ({error}); copy all of \
         them, or one platform's manifest in its place: tidegate copy {source}{by}{one} {}",
        wish.target
    ))
}

/// Puts all of `plan` into files.
pub(super) async fn into_files(
    wish: &Wish,
    plan: &Plan,
    giver: Giver<'_>,
    location: &Location,
    report: &mut Report,
) -> Result<(), Error> {
    match location {
        Location::Oci { folder, name } => {
            let name = name.clone().or_else(|| plan.root.name.clone());
            let (uploads, bytes) = pack::into_layout(plan, giver, folder, name).await?;
            (report.uploads, report.upload_bytes) = (uploads, bytes);
        }
        Location::Archive { file, name } => {
            let root = &plan.root.descriptor.digest;
            let manifest = plan.manifests.get(root).map_or(&[][..], |it| &it.bytes);
            let names = match (name, &wish.source) {
                (Some(name), _) => vec![tagged(name)],
                (None, End::Registry(from)) => from.name_and_tag().into_iter().collect(),
                (None, End::Disk(_)) => plan
                    .root
                    .name
                    .clone()
                    .filter(|it| it.contains(':'))
                    .into_iter()
                    .collect(),
            };
            let image = pack::Wanted { manifest, names };
            let ids = pack::into_archive(&[image], giver, file).await?;
            report.image_id = ids.first().map(ToString::to_string);
            (report.uploads, report.upload_bytes) = (report.blobs, report.bytes);
        }
    }
    Ok(())
}

/// As docker wants it: it takes no name without a tag.
pub(super) fn tagged(name: &str) -> String {
    match name
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains(':'))
    {
        true => name.to_owned(),
        false => format!("{name}:latest"),
    }
}
