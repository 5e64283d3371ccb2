//! One image, once: from a registry or from disk, to a registry or to disk, by the engines that pull
//! and that mirror.
//!
//! Whatever the ends are, the content comes by a [`Supply`](crate::target::Supply): the
//! [`PullThrough`](crate::flow::PullThrough) over a store that keeps nothing, or files. So a blob is
//! on its way to the target while it still arrives.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use tempfile::TempDir;

use crate::config::Config;
use crate::flow;
use crate::layout;
use crate::layout::Location;
use crate::ledger::FlowId;
use crate::ledger::Ledger;
use crate::ledger::Leg;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::UpstreamName;
use crate::registry;
use crate::store;
use crate::target;
use crate::target::Mirrored;
use crate::target::Supply;

mod disk;
mod end;
mod origin;
mod pack;
mod plan;
mod platform;
mod push;
mod watched;

pub use end::End;
pub use end::Reference;
pub use platform::Platform;
pub use watched::Progress;

use origin::Origin;
use pack::Giver;
use plan::Plan;
use plan::Wanted;
use platform::Index;
use push::Pusher;
use watched::Watched;

/// What is to be copied, and how.
#[derive(Clone, Debug)]
pub struct Copy {
    /// From where.
    pub source: End,
    /// To where.
    pub target: End,
    /// The platforms of an index that are wanted; empty for all.
    pub platforms: Vec<Platform>,
    /// Whether signatures and whatever else refers to the image are copied with it.
    pub referrers: bool,
    /// Whether a target registry is asked at the end what the tag points to.
    pub verify: bool,
    /// Whether registries that the configuration does not know are spoken to without TLS.
    pub plain_http: bool,
}

/// What was copied.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// As it was written out in full.
    pub source: String,
    /// As it was written out in full.
    pub target: String,
    /// The digest of the image at its source; at the target too, but in a docker-archive.
    pub digest: String,
    /// In a docker-archive: the digest of the config, which docker calls the image's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// How many manifests it has, those of its referrers among them.
    pub manifests: u64,
    /// How many blobs.
    pub blobs: u64,
    /// Their length, in bytes.
    pub bytes: u64,
    /// How many manifests refer to it.
    pub referrers: u64,
    /// Blobs that had to be written or uploaded.
    pub uploads: u64,
    /// Their length, in bytes.
    pub upload_bytes: u64,
    /// Blobs that the target took from another of its repositories.
    pub mounts: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What refers to the image and could not be copied, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

/// Why an image was not copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked can't be done; another command can.
    #[error("{0}")]
    Usage(String),
    /// The source does not give something.
    #[error("{what}: {why}")]
    Source {
        /// What.
        what: String,
        /// Why, and what to do.
        why: String,
    },
    /// The source's registry does not give something.
    #[error(transparent)]
    Flow(flow::Error),
    /// There can be no client for a registry.
    #[error("{name}: {error}")]
    Registry {
        /// Which.
        name: UpstreamName,
        /// Why.
        error: registry::Error,
    },
    /// The target does not take it.
    #[error(transparent)]
    Target(target::Error),
    /// An image on disk can't be read or written.
    #[error(transparent)]
    Disk(#[from] layout::Error),
    /// There is no room for what is on its way.
    #[error("the folder for temporary files (set TMPDIR for another): {0}")]
    Spool(store::Error),
    /// The store can't be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What all of a copy share.
#[derive(Clone, Copy, Debug)]
struct Connection<'a> {
    plain_http: bool,
    /// For what is on its way.
    folder: &'a Path,
    ledger: &'a Ledger,
    flow: FlowId,
}

/// Copies one image. Dropping the future leaves no image that is not whole; blobs may have been
/// uploaded then.
///
/// # Errors
/// When the image itself could not be copied. What refers to it and could not be is in the report.
pub async fn copy(wish: &Copy, config: &Config, progress: Arc<Progress>) -> Result<Report, Error> {
    let begun = Instant::now();
    let folder = spool().await?;
    let (ledger, flow) = (Ledger::new(), FlowId::next());
    let connection = Connection {
        plain_http: wish.plain_http,
        folder: folder.path(),
        ledger: &ledger,
        flow,
    };
    let origin = Origin::open(&wish.source, config, &connection).await?;
    let root = origin.root(&wish.source).await?;
    let plan = plan(wish, &origin, root, flow).await?;
    progress.expect(plan.size());
    let supply = Arc::new(Watched {
        source: origin.supply(),
        repository: origin.repository.clone(),
        progress,
    });
    tracing::info!(
        "copying {} to {}: {} manifests, {} blobs, {}",
        wish.source,
        wish.target,
        plan.manifests.len(),
        plan.blobs.len(),
        bytesize::ByteSize(plan.size())
    );
    let mut report = Report {
        source: wish.source.to_string(),
        target: wish.target.to_string(),
        digest: plan.root.descriptor.digest.to_string(),
        manifests: plan.manifests.len() as u64,
        blobs: plan.blobs.len() as u64,
        bytes: plan.size(),
        referrers: plan.others.len() as u64,
        ..Report::default()
    };
    match &wish.target {
        End::Registry(at) => {
            let target = IntoRegistry {
                wish,
                config,
                connection,
                at,
            };
            target.copy(&plan, supply, &mut report).await?;
        }
        End::Disk(location) => {
            let giver = Giver {
                supply: &*supply,
                flow,
            };
            into_files(wish, &plan, giver, location, &mut report).await?;
        }
    }
    report.seconds = (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    Ok(report)
}

async fn plan(
    wish: &Copy,
    origin: &Origin,
    mut root: origin::Root,
    flow: FlowId,
) -> Result<Plan, Error> {
    let everything = Wanted {
        platforms: &wish.platforms,
        referrers: wish.referrers,
    };
    let End::Disk(Location::Archive { .. }) = &wish.target else {
        return Plan::of(origin, root, everything, flow).await;
    };
    // A docker-archive has room for one platform, and for nothing else.
    let one = match &wish.platforms[..] {
        [] => None,
        [one] => Some(one),
        _ => {
            let why = "a docker-archive has one platform; name one, or copy to oci:DIR";
            return Err(Error::Usage(why.to_owned()));
        }
    };
    let cause = target::Cause {
        flow,
        pace: target::Pace::Client,
    };
    let digest = root.descriptor.digest.clone();
    let supply = origin.supply();
    let manifest = supply.manifest(&origin.repository, &digest, cause).await;
    let manifest = manifest.map_err(|missing| Error::Source {
        what: digest.to_string(),
        why: missing.to_string(),
    })?;
    let is_index = !crate::oci::Manifest::parse(&manifest.bytes)
        .manifests
        .is_empty();
    if is_index && let Some(index) = Index::parse(&manifest.bytes) {
        root.descriptor.digest = index.one(one).map_err(Error::Usage)?;
    }
    let alone = Wanted {
        platforms: &[],
        referrers: false,
    };
    Plan::of(origin, root, alone, flow).await
}

struct IntoRegistry<'a> {
    wish: &'a Copy,
    config: &'a Config,
    connection: Connection<'a>,
    at: &'a Reference,
}

impl IntoRegistry<'_> {
    async fn copy(
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
        for child in plan.part.iter().flatten() {
            report.count(pusher.push(child, None).await.map_err(Error::Target)?);
        }
        let pushed = pusher.push(root, self.at.tag.clone()).await;
        report.count(pushed.map_err(|error| match &plan.part {
            Some(part) => not_sparse(self.wish, part, &error),
            None => Error::Target(error),
        })?);
        for item in &plan.others {
            match pusher.push_item(item).await {
                Ok(mirrored) => report.count(mirrored),
                Err(error) => {
                    let name = item.name.clone();
                    let name = name.unwrap_or_else(|| item.descriptor.digest.to_string());
                    report.failed.push(format!("{name}: {error}"));
                }
            }
        }
        if let (true, Some(tag)) = (self.wish.verify, &self.at.tag) {
            let name = self.at.repository.upstream.clone();
            let found = pusher.tagged(tag).await;
            let found = found.map_err(|error| Error::Registry { name, error })?;
            if found.as_ref() != Some(root) {
                let found = found.map_or("nothing".to_owned(), |found| found.to_string());
                return Err(Error::Source {
                    what: self.wish.target.to_string(),
                    why: format!("it points to {found} now, not to {root}"),
                });
            }
        }
        Ok(())
    }
}

/// An index of which only a part is there: some registries take it.
fn not_sparse(wish: &Copy, part: &[Digest], error: &target::Error) -> Error {
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

async fn into_files(
    wish: &Copy,
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
fn tagged(name: &str) -> String {
    match name
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains(':'))
    {
        true => name.to_owned(),
        false => format!("{name}:latest"),
    }
}

impl Report {
    fn count(&mut self, mirrored: Mirrored) {
        self.uploads += mirrored.uploads;
        self.upload_bytes += mirrored.upload_bytes;
        self.mounts += mirrored.mounts;
    }
}

/// What stands for the repository of what is on disk.
fn on_disk() -> Repository {
    let (upstream, name) = ("disk".parse(), "image".parse());
    match (upstream, name) {
        (Ok(upstream), Ok(name)) => Repository::new(upstream, name),
        _ => unreachable!("both are legal names"),
    }
}

async fn spool() -> Result<TempDir, Error> {
    blocking(|| {
        let folder = tempfile::Builder::new().prefix("tidegate-copy-").tempdir();
        folder.map_err(|source| layout::Error::Io {
            path: std::env::temp_dir(),
            source,
        })
    })
    .await
}

/// Runs work that waits for a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, layout::Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Usage("the process is ending".to_owned())),
        },
    }
}
