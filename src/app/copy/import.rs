//! An image on its way into a store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::TryStreamExt as _;
use futures_util::stream;

use super::Carried;
use super::Error;
use super::Progress;
use super::Reference;
use super::Report;
use super::blocking;
use super::carry::watched;
use super::origin::Origin;
use super::origin::Root;
use super::pack;
use super::pack::Giver;
use super::plan::Part;
use super::plan::Plan;
use super::plan::Wanted;
use crate::layout;
use crate::layout::Location;
use crate::ledger::FlowId;
use crate::oci;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::store;
use crate::store::carry::Incoming;
use crate::store::carry::Outside;
use crate::store::carry::Stored;

/// Copies an image from `from` into the store, as if the upstream had given it. Without a tag in
/// `at`, the one that it has at `from`.
///
/// # Errors
/// When it can't be read, or the store can't be written: no tag points to it then.
pub async fn import(
    wish: &Carried,
    from: &Location,
    at: &Reference,
    progress: Arc<Progress>,
) -> Result<Report, Error> {
    let begun = Instant::now();
    let flow = FlowId::next();
    let location = from.clone();
    let opened = blocking(move || {
        let source = layout::Source::open(&location)?;
        let chosen = source.choose(location.name())?;
        Ok::<_, layout::Error>((source, chosen))
    });
    let (source, chosen) = opened.await?;
    let tag = at
        .tag
        .clone()
        .or_else(|| chosen.names.iter().find_map(|name| tag_of(name)));
    let root = Root {
        descriptor: chosen.descriptor,
        name: tag.as_ref().map(ToString::to_string),
    };
    let origin = Origin::disk(Arc::new(source), flow);
    let part = match &wish.platforms[..] {
        [] => Part::All,
        platforms => Part::Platforms(platforms),
    };
    let wanted = Wanted {
        part,
        referrers: wish.referrers,
    };
    let plan = Plan::of(&origin, root, wanted, flow).await?;
    progress.expect(plan.size());
    let supply = watched(&origin, &progress);
    let giver = Giver {
        supply: &supply,
        flow,
    };
    let config = wish.store.clone();
    let store = Arc::new(blocking(move || Outside::enter(&config)).await?);
    let repository = &at.repository;
    let asked = stream::iter(plan.blobs.keys())
        .map(|digest| put_blob(store.clone(), repository.clone(), giver, digest));
    let written: Vec<u64> = asked.buffer_unordered(4).try_collect().await?;
    let mut report = Report {
        source: from.to_string(),
        target: at.to_string(),
        uploads: written.iter().filter(|bytes| **bytes > 0).count() as u64,
        upload_bytes: written.iter().sum(),
        ..Report::of(&plan)
    };
    let repository = repository.clone();
    blocking(move || enter(&store, &repository, &plan, tag.as_ref())).await?;
    report.took(begun);
    Ok(report)
}

/// The tag at the end of an image's name.
fn tag_of(name: &str) -> Option<Tag> {
    let last = name.rsplit('/').next()?;
    last.rsplit(':').next()?.parse().ok()
}

/// How many bytes were written.
async fn put_blob(
    store: Arc<Outside>,
    repository: Repository,
    giver: Giver<'_>,
    digest: &Digest,
) -> Result<u64, Error> {
    let wanted = digest.clone();
    let incoming = blocking(move || store.put_blob(&repository, &wanted)).await?;
    let Some(mut incoming) = incoming else {
        return Ok(0);
    };
    let mut written = 0;
    let mut chunks = giver.blob(digest).await?.chunks;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| pack::lost(digest, &error.to_string()))?;
        written += chunk.len() as u64;
        incoming = blocking(move || {
            incoming.write(&chunk)?;
            Ok::<Incoming, store::Error>(incoming)
        })
        .await?;
    }
    blocking(move || incoming.commit()).await?;
    Ok(written)
}

/// Manifests after what they name, tags last.
fn enter(
    store: &Outside,
    repository: &Repository,
    plan: &Plan,
    tag: Option<&Tag>,
) -> Result<(), Error> {
    let mut indexes = BTreeMap::new();
    for (digest, manifest) in &plan.manifests {
        let stored = Stored {
            media_type: manifest.media_type.clone(),
            bytes: manifest.bytes.clone(),
        };
        match oci::Manifest::parse(&manifest.bytes).manifests.is_empty() {
            true => store.put_manifest(repository, digest, &stored)?,
            false => drop(indexes.insert(digest, stored)),
        }
    }
    for (digest, stored) in indexes {
        store.put_manifest(repository, digest, &stored)?;
    }
    if !store.has_all(plan.blobs.keys().chain(plan.manifests.keys()))? {
        return Err(Error::Source {
            what: repository.to_string(),
            why: "something took away what was put in (`store gc`?); import it again".to_owned(),
        });
    }
    for item in &plan.others {
        if let Some(tag) = item.name.as_ref().and_then(|name| name.parse().ok()) {
            store.put_tag(repository, &tag, &item.descriptor.digest)?;
        }
    }
    if let Some(tag) = tag {
        store.put_tag(repository, tag, &plan.root.descriptor.digest)?;
    }
    Ok(())
}
