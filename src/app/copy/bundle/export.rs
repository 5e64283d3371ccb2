//! What sets select, on its way out of a store.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use super::Bundle;
use super::Entry;
use super::Error;
use super::List;
use super::VERSION;
use crate::app::copy::Carried;
use crate::app::copy::Progress;
use crate::app::copy::Reference;
use crate::app::copy::blocking;
use crate::app::copy::disk::Kept;
use crate::app::copy::export::Form;
use crate::app::copy::export::find;
use crate::app::copy::plan::Plan;
use crate::layout::Image;
use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::UpstreamName;
use crate::prefetch;
use crate::prefetch::Found;
use crate::prefetch::Set;
use crate::prefetch::Wanted;
use crate::store;
use crate::store::carry::Outside;
use writing::Writing;

mod writing;

/// What is to be exported.
#[derive(Clone, Debug)]
pub struct Exporting {
    /// The store.
    pub store: store::Config,
    /// The sets.
    pub sets: Vec<Set>,
    /// What the upstreams are called.
    pub upstreams: Vec<UpstreamName>,
    /// The export whose images the other side has: its list, its archive, or its folder.
    pub since: Option<PathBuf>,
}

/// What was exported.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Exported {
    /// Where to.
    pub target: String,
    /// Where its list is, which the next export is told as `--since`.
    pub list: String,
    /// Images that are in it.
    pub images: u64,
    /// Images that the other side has as they are.
    pub unchanged: u64,
    /// Blobs and manifests that were written, and their length in bytes.
    pub written: u64,
    /// In bytes.
    pub bytes: u64,
    /// Blobs and manifests of the images in it that the other side has, or that were in the folder.
    pub left_out: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What could not be exported, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

/// Copies all that the sets select, and the store has, to `to`. What it has not is in the report.
///
/// # Errors
/// When nothing could be exported.
pub async fn export_sets(
    wish: &Exporting,
    to: &Bundle,
    progress: Arc<Progress>,
) -> Result<Exported, Error> {
    let begun = Instant::now();
    let (config, last) = (wish.store.clone(), wish.since.clone());
    let opened = blocking(move || {
        let last = last.map(|last| List::of_last(&last)).transpose()?;
        Ok::<_, Error>((Outside::open(&config)?, last))
    });
    let (store, last) = opened.await?;
    let store = Arc::new(store);
    let mut exported = Exported {
        target: to.to_string(),
        ..Exported::default()
    };
    let mut gathered = Gathered::default();
    for set in &wish.sets {
        gather(wish, set, &store, &mut gathered).await?;
    }
    if gathered.images.is_empty() {
        return Err(Error::Source {
            what: "the store".to_owned(),
            why: match gathered.failed.first() {
                Some(first) => format!("it has nothing of what is to be exported: {first}"),
                None => "it has nothing of what is to be exported; run `tidegate sync`".to_owned(),
            },
        });
    }
    exported.failed = std::mem::take(&mut gathered.failed);
    let sets = wish.sets.iter().map(|set| set.name.to_string());
    let (list, images) = gathered.list(sets.collect(), last.as_ref(), &mut exported);
    let writing = Writing {
        list,
        images,
        there: last.map(|last| last.known).unwrap_or_default(),
        store,
        to: to.clone(),
        progress,
    };
    let mut exported = blocking(move || writing.write(exported)).await?;
    exported.seconds = (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    Ok(exported)
}

/// All that was found.
#[derive(Default)]
struct Gathered {
    /// By their names.
    images: BTreeMap<String, Gotten>,
    media_types: HashMap<Digest, String>,
    failed: Vec<String>,
}

/// An image that was found.
struct Gotten {
    entry: Entry,
    /// Its names, and those of what refers to it: what they point to.
    tags: BTreeMap<String, Digest>,
    /// As a layout lists it, and what refers to it.
    listed: Vec<Image>,
}

/// Adds what one set selects.
async fn gather(
    wish: &Exporting,
    set: &Set,
    store: &Arc<Outside>,
    gathered: &mut Gathered,
) -> Result<(), Error> {
    let (outside, wanted, upstreams) = (store.clone(), set.clone(), wish.upstreams.clone());
    let is_registry = move |name: &str| upstreams.iter().any(|it| it.as_str() == name);
    let found = blocking(move || prefetch::stored(&wanted, &outside, is_registry)).await?;
    let carried = Carried {
        store: wish.store.clone(),
        platforms: Vec::new(),
        referrers: set.referrers,
    };
    let flow = FlowId::next();
    let mut shelves: HashMap<Repository, Arc<Kept>> = HashMap::new();
    for found in found {
        let wanted = match found {
            Found::Wanted(wanted) => wanted,
            Found::Failed { what, why } => {
                gathered.failed.push(format!("{what}: {why}"));
                continue;
            }
            Found::Listed { .. } => continue,
        };
        let image = named(&wanted);
        let kept = || Kept::new(store, &image);
        let shelf = shelves
            .entry(wanted.repository.clone())
            .or_insert_with(kept);
        match find(&carried, shelf.clone(), image.clone(), Form::Chosen, flow).await {
            Ok(found) => gathered.add(&image, &found.plan),
            Err(error @ Error::Source { .. }) => gathered.failed.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn named(wanted: &Wanted) -> Reference {
    Reference {
        repository: wanted.repository.clone(),
        tag: wanted.tag.clone(),
        digest: wanted.digest.clone(),
    }
}

impl Gathered {
    fn add(&mut self, image: &Reference, plan: &Plan) {
        let repository = &image.repository;
        let mut tags = BTreeMap::new();
        let own = image.name_and_tag().unwrap_or_else(|| image.to_string());
        let root = &plan.root.descriptor;
        tags.insert(own.clone(), root.digest.clone());
        let mut listed = vec![Image {
            names: image.name_and_tag().into_iter().collect(),
            descriptor: root.clone(),
        }];
        let mut others = BTreeMap::new();
        for item in &plan.others {
            let name = item.name.as_ref().map(|tag| format!("{repository}:{tag}"));
            if let (Some(tag), Some(name)) = (&item.name, &name) {
                others.insert(tag.clone(), item.descriptor.digest.clone());
                tags.insert(name.clone(), item.descriptor.digest.clone());
            }
            listed.push(Image {
                names: name.into_iter().collect(),
                descriptor: item.descriptor.clone(),
            });
        }
        for (digest, manifest) in &plan.manifests {
            let media_type = || manifest.media_type.to_string();
            let known = self.media_types.entry(digest.clone());
            known.or_insert_with(media_type);
        }
        let entry = Entry {
            image: image.to_string(),
            manifests: plan.manifests.keys().cloned().collect(),
            blobs: plan.blobs.keys().cloned().collect(),
            others,
        };
        let gotten = Gotten {
            entry,
            tags,
            listed,
        };
        self.images.insert(own, gotten);
    }

    /// What the bundle is to have, and its entries in a layout.
    fn list(
        self,
        sets: Vec<String>,
        last: Option<&List>,
        exported: &mut Exported,
    ) -> (List, Vec<Image>) {
        let mut list = List {
            version: VERSION,
            created: Timestamp::now(),
            since: last.map(|last| last.created),
            sets,
            images: Vec::new(),
            media_types: BTreeMap::new(),
            tags: last.map(|last| last.tags.clone()).unwrap_or_default(),
            known: last.map(|last| last.known.clone()).unwrap_or_default(),
        };
        let mut images = Vec::new();
        for gotten in self.images.into_values() {
            let is_there = last.is_some_and(|last| gotten.is_in(last));
            let Gotten {
                entry,
                tags,
                listed,
            } = gotten;
            list.tags.extend(tags);
            list.known.extend(entry.digests().cloned());
            if is_there {
                exported.unchanged += 1;
                continue;
            }
            let media_type =
                |digest: &Digest| Some((digest.clone(), self.media_types.get(digest)?.clone()));
            list.media_types
                .extend(entry.manifests.iter().filter_map(media_type));
            list.images.push(entry);
            images.extend(listed);
            exported.images += 1;
        }
        (list, images)
    }
}

impl Gotten {
    /// Whether the other side has it as it is.
    fn is_in(&self, last: &List) -> bool {
        let mut tags = self.tags.iter();
        tags.all(|(name, digest)| last.tags.get(name) == Some(digest))
            && self
                .entry
                .digests()
                .all(|digest| last.known.contains(digest))
    }
}
