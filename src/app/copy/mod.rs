//! One image, once: from a registry or from disk, to a registry or to disk, by the engines that pull
//! and that mirror.
//!
//! Whatever the ends are, the content comes by a [`Supply`](crate::target::Supply): the
//! [`PullThrough`](crate::flow::PullThrough) over a store that keeps nothing, or files. So a blob is
//! on its way to the target while it still arrives.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tempfile::TempDir;

use crate::config::Config;
use crate::layout;
use crate::layout::Location;
use crate::ledger::FlowId;
use crate::ledger::Ledger;
use crate::oci::Index;
use crate::oci::Platform;
use crate::oci::Repository;
use crate::target;

mod bundle;
mod carry;
mod deliver;
mod disk;
mod end;
mod error;
mod export;
mod import;
mod origin;
mod pack;
mod plan;
mod push;
mod report;
mod watched;

pub use bundle::Bundle;
pub use bundle::Exported;
pub use bundle::Exporting;
pub use bundle::Imported;
pub use bundle::export_sets;
pub use bundle::import_all;
pub use carry::Carried;
pub use end::End;
pub use end::Reference;
pub use error::Error;
pub use export::export;
pub use import::import;
pub use report::Report;
pub use watched::Progress;

use deliver::IntoRegistry;
use deliver::into_files;
use origin::Origin;
use pack::Giver;
use plan::Part;
use plan::Plan;
use plan::Wanted;
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
    let (origin, root) = Origin::open(&wish.source, config, &connection).await?;
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
        ..Report::of(&plan)
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
    report.took(begun);
    Ok(report)
}

async fn plan(
    wish: &Copy,
    origin: &Origin,
    mut root: origin::Root,
    flow: FlowId,
) -> Result<Plan, Error> {
    let everything = Wanted {
        part: match &wish.platforms[..] {
            [] => Part::All,
            platforms => Part::Platforms(platforms),
        },
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
        ours: true,
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
        part: Part::All,
        referrers: false,
    };
    Plan::of(origin, root, alone, flow).await
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
async fn blocking<T: Send + 'static, E: Into<Error> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Into::into),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Usage("the process is ending".to_owned())),
        },
    }
}
