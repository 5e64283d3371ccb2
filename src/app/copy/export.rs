//! Images on their way out of a store.

use std::sync::Arc;
use std::time::Instant;

use super::Carried;
use super::Error;
use super::Progress;
use super::Reference;
use super::Report;
use super::blocking;
use super::carry::watched;
use super::deliver::tagged;
use super::disk::Kept;
use super::disk::Shelf;
use super::origin::Origin;
use super::origin::Root;
use super::pack;
use super::pack::Giver;
use super::plan::Part;
use super::plan::Plan;
use super::plan::Wanted;
use crate::layout::Location;
use crate::ledger::FlowId;
use crate::oci;
use crate::oci::Descriptor;
use crate::oci::Digest;
use crate::oci::Index;
use crate::oci::Platform;
use crate::oci::Tag;
use crate::store::carry::Outside;

/// An image of a store that was found.
#[derive(Debug)]
pub(super) struct Found {
    reference: Reference,
    origin: Origin,
    pub(super) plan: Plan,
}

/// In which form it goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Layout,
    /// As it is, for who chose its platforms when it was brought.
    Chosen,
    /// As docker loads it: one platform, and nothing else.
    Archive,
}

impl Form {
    fn of(to: &Location) -> Self {
        match to {
            Location::Archive { .. } => Self::Archive,
            Location::Oci { .. } => Self::Layout,
        }
    }
}

/// Copies images from the store to `to`. A reference without a tag or a digest means all tags.
///
/// # Errors
/// When one of them is not stored, or not whole; nothing is entered at `to` then.
pub async fn export(
    wish: &Carried,
    images: &[Reference],
    to: &Location,
    progress: Arc<Progress>,
) -> Result<Vec<Report>, Error> {
    let begun = Instant::now();
    let flow = FlowId::next();
    let config = wish.store.clone();
    let store = Arc::new(blocking(move || Outside::open(&config)).await?);
    let mut found = Vec::new();
    for image in expanded(&store, images).await? {
        let shelf = Kept::new(&store, &image);
        found.push(find(wish, shelf, image, Form::of(to), flow).await?);
    }
    progress.expect(found.iter().map(|it| it.plan.size()).sum());
    let mut reports: Vec<Report> = found.iter().map(|it| it.report(to)).collect();
    match to {
        Location::Oci { folder, name } => {
            if name.is_some() && found.len() > 1 {
                let why = "several images can't have one name; leave it out";
                return Err(Error::Usage(why.to_owned()));
            }
            for (it, report) in found.iter().zip(&mut reports) {
                let supply = watched(&it.origin, &progress);
                let giver = Giver {
                    supply: &supply,
                    flow,
                };
                let name = name.clone().or_else(|| it.reference.name_and_tag());
                (report.uploads, report.upload_bytes) =
                    pack::into_layout(&it.plan, giver, folder, name).await?;
            }
        }
        Location::Archive { file, name } => {
            let Some(first) = found.first() else {
                return Ok(reports);
            };
            let supply = watched(&first.origin, &progress);
            let giver = Giver {
                supply: &supply,
                flow,
            };
            let images: Vec<pack::Wanted<'_>> = found
                .iter()
                .map(|it| it.archived(name.as_deref()))
                .collect();
            let ids = pack::into_archive(&images, giver, file).await?;
            for (report, id) in reports.iter_mut().zip(ids) {
                report.image_id = Some(id.to_string());
                (report.uploads, report.upload_bytes) = (report.blobs, report.bytes);
            }
        }
    }
    for report in &mut reports {
        report.took(begun);
    }
    Ok(reports)
}

impl Found {
    /// What is known before it is copied.
    fn report(&self, to: &Location) -> Report {
        Report {
            source: self.reference.to_string(),
            target: to.to_string(),
            ..Report::of(&self.plan)
        }
    }

    fn archived(&self, name: Option<&str>) -> pack::Wanted<'_> {
        let root = &self.plan.root.descriptor.digest;
        let own = || self.reference.name_and_tag();
        pack::Wanted {
            manifest: self
                .plan
                .manifests
                .get(root)
                .map_or(&[][..], |it| &it.bytes),
            names: name.map(tagged).or_else(own).into_iter().collect(),
        }
    }
}

/// With all tags in place of those that name none.
async fn expanded(store: &Arc<Outside>, images: &[Reference]) -> Result<Vec<Reference>, Error> {
    let mut all = Vec::new();
    for image in images {
        if image.tag.is_some() || image.digest.is_some() {
            all.push(image.clone());
            continue;
        }
        let (outside, repository) = (store.clone(), image.repository.clone());
        let tags = blocking(move || outside.tags(&repository)).await?;
        let is_own = |tag: &Tag| !tag.as_str().starts_with("sha256-");
        let before = all.len();
        all.extend(tags.into_iter().filter(is_own).map(|tag| Reference {
            tag: Some(tag),
            ..image.clone()
        }));
        if all.len() == before {
            return Err(not_stored(image, "no tag of it is in the store"));
        }
    }
    Ok(all)
}

fn not_stored(image: &Reference, why: &str) -> Error {
    Error::Source {
        what: image.to_string(),
        why: why.to_owned(),
    }
}

/// An image of `shelf`, all of which is stored that is wanted of it.
pub(super) async fn find(
    wish: &Carried,
    shelf: Arc<Kept>,
    reference: Reference,
    form: Form,
    flow: FlowId,
) -> Result<Found, Error> {
    let (wanted, kept) = (reference.clone(), shelf.clone());
    let mut root = blocking(move || root(&kept, &wanted)).await?;
    let (kept, at) = (shelf.clone(), root.descriptor.digest.clone());
    let is_archive = form == Form::Archive;
    let platforms = wish.platforms.clone();
    let part = blocking(move || part(&kept, &at, &platforms, form)).await?;
    let mut wanted = Wanted {
        part: Part::All,
        referrers: wish.referrers && !is_archive,
    };
    match &part {
        Chosen::Whole => {}
        Chosen::One(digest) => root.descriptor.digest = digest.clone(),
        Chosen::Some(digests) => wanted.part = Part::Only(digests),
    }
    let origin = Origin::disk(shelf.clone(), flow);
    let plan = Plan::of(&origin, root, wanted, flow).await?;
    let blobs: Vec<Digest> = plan.blobs.keys().cloned().collect();
    if !blocking(move || shelf.has_all(&blobs)).await? {
        let why = "not all of it is in the store; pull it through the proxy first";
        return Err(not_stored(&reference, why));
    }
    Ok(Found {
        reference,
        origin,
        plan,
    })
}

fn root(shelf: &Kept, reference: &Reference) -> Result<Root, Error> {
    let named = match (&reference.digest, &reference.tag) {
        (Some(digest), _) => Some(digest.clone()),
        (None, Some(tag)) => shelf.named(tag.as_str())?,
        (None, None) => None,
    };
    let manifest = match &named {
        Some(digest) => shelf.manifest(digest)?,
        None => None,
    };
    let (Some(digest), Some(manifest)) = (named, manifest) else {
        return Err(not_stored(reference, "it is not in the store"));
    };
    Ok(Root {
        descriptor: Descriptor {
            media_type: manifest.media_type,
            size: manifest.bytes.len() as u64,
            digest,
        },
        name: reference.tag.as_ref().map(ToString::to_string),
    })
}

/// How much of an image is exported.
enum Chosen {
    Whole,
    /// One of the index's manifests in its place.
    One(Digest),
    /// These of the index's manifests.
    Some(Vec<Digest>),
}

/// Of an index, the store has what clients pulled.
fn part(shelf: &Kept, root: &Digest, platforms: &[Platform], form: Form) -> Result<Chosen, Error> {
    let manifest = shelf.manifest(root)?;
    let bytes = manifest.map(|manifest| manifest.bytes).unwrap_or_default();
    let children = oci::Manifest::parse(&bytes).manifests;
    if children.is_empty() {
        return Ok(Chosen::Whole);
    }
    let index = Index::parse(&bytes);
    let mut there = Vec::new();
    for child in &children {
        if is_whole(shelf, child)? {
            there.push(child.clone());
        }
    }
    if let (Form::Archive, Some(index)) = (form, &index) {
        let images: Vec<&Digest> = there.iter().filter(|it| index.is_image(it)).collect();
        return match (&images[..], platforms) {
            ([only], []) => Ok(Chosen::One((*only).clone())),
            (_, [] | [_]) => Ok(Chosen::One(
                index.one(platforms.first()).map_err(Error::Usage)?,
            )),
            _ => Err(Error::Usage("a docker-archive has one platform".to_owned())),
        };
    }
    if let (false, Some(index)) = (platforms.is_empty(), &index) {
        return Ok(Chosen::Some(index.choose(platforms).map_err(Error::Usage)?));
    }
    if there.is_empty() {
        return Err(Error::Source {
            what: root.to_string(),
            why: "no platform of it is whole in the store; pull one through the proxy first"
                .to_owned(),
        });
    }
    let lacking = children.len() - there.len();
    if lacking == 0 {
        return Ok(Chosen::Whole);
    }
    if form != Form::Chosen {
        tracing::warn!(
            "{}: {lacking} of {} manifests of its index were never pulled, and are left out",
            shelf.repository,
            children.len()
        );
    }
    Ok(Chosen::Some(there))
}

fn is_whole(shelf: &Kept, digest: &Digest) -> Result<bool, Error> {
    let Some(manifest) = shelf.manifest(digest)? else {
        return Ok(false);
    };
    let named = oci::Manifest::parse(&manifest.bytes);
    shelf.has_all(named.blobs.iter())
}
