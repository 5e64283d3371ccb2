//! What a set selects of what is stored: for places where no source can be asked, and for what is
//! carried there.
//!
//! Dates don't count here: what was brought once for its date was wanted, and when it was pushed is
//! not stored. All of this blocks.

use std::collections::BTreeSet;

use globset::Glob;
use jiff::Timestamp;

use super::Asked;
use super::Found;
use super::Listed;
use super::Set;
use super::Source;
use super::Verdict;
use super::Wanted;
use super::references;
use crate::oci::Digest;
use crate::oci::Reference;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::oci::UpstreamName;
use crate::prefetch::Filter;
use crate::prefetch::Order;
use crate::prefetch::TagSet;
use crate::store;
use crate::store::carry::Outside;

mod release;

/// What `set` selects of what `store` has, each image with its digest and once; and what it names
/// that is not stored. Registries that don't look like hosts are those that `is_registry` says.
///
/// # Errors
/// When the store can't be read.
pub fn stored(
    set: &Set,
    store: &Outside,
    is_registry: impl Fn(&str) -> bool,
) -> Result<Vec<Found>, store::Error> {
    let mut look = Look {
        set,
        tags: undated(&set.tags),
        store,
        seen: BTreeSet::new(),
        found: Vec::new(),
    };
    for source in &set.from {
        look.source(source, &is_registry)?;
    }
    Ok(look.found)
}

/// Tells what is stored, as [`stored`] does; of each repository all its tags first.
pub(super) async fn discover(asked: Asked<'_>, config: &store::Config) {
    let (set, config, flow) = (asked.set.clone(), config.clone(), asked.flow().clone());
    let looking = tokio::task::spawn_blocking(move || {
        let is_registry = |name: &str| name.parse().is_ok_and(|name| flow.knows(&name));
        let store = Outside::open(&config)?;
        let found = stored(&set, &store, is_registry)?;
        let repositories: BTreeSet<Repository> = found.iter().filter_map(repository).collect();
        let mut all = Vec::new();
        for repository in repositories {
            let tags = store.tags(&repository)?.into();
            all.push(Found::Listed { repository, tags });
        }
        all.extend(found);
        Ok::<_, store::Error>(all)
    });
    let found = match looking.await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            return asked
                .failed("the store".to_owned(), error.to_string())
                .await;
        }
        Err(error) => {
            return asked
                .failed("the store".to_owned(), error.to_string())
                .await;
        }
    };
    for found in found {
        let is_heard = match found {
            Found::Wanted(wanted) => asked.wanted(wanted).await,
            other => asked.out.send(other).await.is_ok(),
        };
        if !is_heard {
            return;
        }
    }
}

fn repository(found: &Found) -> Option<Repository> {
    match found {
        Found::Wanted(wanted) => Some(wanted.repository.clone()),
        Found::Listed { .. } | Found::Failed { .. } => None,
    }
}

/// The same tags, whatever their dates.
fn undated(tags: &TagSet) -> TagSet {
    match tags {
        TagSet::Chosen(filter) => {
            let by_date = filter.order == Some(Order::Date);
            TagSet::Chosen(Filter {
                since: None,
                latest: filter.latest.filter(|_| !by_date),
                order: filter.order.filter(|_| !by_date),
                ..filter.clone()
            })
        }
        literal @ TagSet::Literal(_) => literal.clone(),
    }
}

/// A store that is being looked into.
struct Look<'a> {
    set: &'a Set,
    tags: TagSet,
    store: &'a Outside,
    seen: BTreeSet<String>,
    found: Vec<Found>,
}

impl Look<'_> {
    fn source(
        &mut self,
        source: &Source,
        is_registry: &impl Fn(&str) -> bool,
    ) -> Result<(), store::Error> {
        match source {
            Source::Repository(repository) => self.repository(repository),
            Source::Image {
                repository,
                reference,
            } => self.image(repository, reference, None),
            Source::Catalog { upstream, pattern } | Source::Quay { upstream, pattern } => {
                self.catalog(upstream, pattern)
            }
            Source::Release(release) => self.release(release),
            Source::References(file) => self.references(file, is_registry),
        }
    }

    fn repository(&mut self, repository: &Repository) -> Result<(), store::Error> {
        if let TagSet::Literal(tags) = self.tags.clone() {
            for tag in tags.iter() {
                self.image(repository, &Reference::Tag(tag.clone()), None)?;
            }
            return Ok(());
        }
        if self.listed(repository)? == 0 {
            self.failed(&repository.to_string(), "nothing of it is in the store");
        }
        Ok(())
    }

    /// All tags that are wanted; how many there are, wanted or not.
    fn listed(&mut self, repository: &Repository) -> Result<usize, store::Error> {
        let listed = self.store.tags(repository)?.into_iter();
        let listed: Vec<Listed> = listed.map(Listed::from).collect();
        for judged in self.tags.judge(&listed, Timestamp::now()) {
            if judged.verdict == Verdict::In {
                self.image(repository, &Reference::Tag(judged.tag), None)?;
            }
        }
        Ok(listed.len())
    }

    fn catalog(&mut self, upstream: &UpstreamName, pattern: &str) -> Result<(), store::Error> {
        let what = format!("{upstream}/{pattern}");
        let Ok(glob) = Glob::new(pattern) else {
            self.failed(&what, "this is no pattern");
            return Ok(());
        };
        let matcher = glob.compile_matcher();
        let mut names = self.store.repositories(upstream)?;
        names.retain(|name| matcher.is_match(name.as_str()));
        if names.is_empty() {
            self.failed(&what, "no repository in the store fits");
            return Ok(());
        }
        let literal = self.tags.literal().map(<[Tag]>::to_vec);
        let mut missing: BTreeSet<Tag> = literal.iter().flatten().cloned().collect();
        for name in names {
            let repository = Repository::new(upstream.clone(), name);
            let Some(tags) = &literal else {
                self.listed(&repository)?;
                continue;
            };
            for tag in tags {
                if self.store.tag(&repository, tag)?.is_some() {
                    missing.remove(tag);
                    self.image(&repository, &Reference::Tag(tag.clone()), None)?;
                }
            }
        }
        for tag in missing {
            let why = "no repository in the store has this tag";
            self.failed(&format!("{what}:{tag}"), why);
        }
        Ok(())
    }

    fn references(
        &mut self,
        file: &std::path::Path,
        is_registry: &impl Fn(&str) -> bool,
    ) -> Result<(), store::Error> {
        let what = file.display().to_string();
        let text = match references::text(file) {
            Ok(text) => text,
            Err(error) => {
                self.failed(&what, &error.to_string());
                return Ok(());
            }
        };
        for named in references::named_in(&text, is_registry) {
            match named.image {
                Ok(image) => {
                    let reference = match (image.digest, &image.tag) {
                        (Some(digest), _) => Reference::Digest(digest),
                        (None, Some(tag)) => Reference::Tag(tag.clone()),
                        (None, None) => continue,
                    };
                    self.image(&image.repository, &reference, image.tag.as_ref())?;
                }
                Err(why) => self.failed(&format!("{what}:{}", named.line), &why),
            }
        }
        Ok(())
    }

    /// An image, if its manifest is stored: under `tag`, where it is named by its digest.
    fn image(
        &mut self,
        repository: &Repository,
        reference: &Reference,
        tag: Option<&Tag>,
    ) -> Result<(), store::Error> {
        let digest = match reference {
            Reference::Tag(tag) => self.store.tag(repository, tag)?,
            Reference::Digest(digest) => Some(digest.clone()),
        };
        let stored = match &digest {
            Some(digest) => self.store.manifest(repository, digest)?,
            None => None,
        };
        let (Some(digest), Some(_)) = (digest, stored) else {
            let what = match reference {
                Reference::Tag(tag) => format!("{repository}:{tag}"),
                Reference::Digest(digest) => format!("{repository}@{digest}"),
            };
            self.failed(&what, "it is not in the store");
            return Ok(());
        };
        let tag = match reference {
            Reference::Tag(tag) => Some(tag),
            Reference::Digest(_) => tag,
        };
        self.wanted(repository, tag.cloned(), digest);
        Ok(())
    }

    fn wanted(&mut self, repository: &Repository, tag: Option<Tag>, digest: Digest) {
        let name = tag.as_ref().map(ToString::to_string);
        let name = format!("{repository}:{}@{digest}", name.unwrap_or_default());
        if !self.seen.insert(name) {
            return;
        }
        let mut immutable = self.set.immutable.iter();
        let is_immutable = |tag: &Tag| immutable.any(|it| it.fits(tag.as_str()));
        self.found.push(Found::Wanted(Wanted {
            repository: repository.clone(),
            reference: match &tag {
                Some(tag) => Reference::Tag(tag.clone()),
                None => Reference::Digest(digest.clone()),
            },
            immutable: tag.as_ref().is_some_and(is_immutable),
            tag,
            digest: Some(digest),
        }));
    }

    fn failed(&mut self, what: &str, why: &str) {
        self.found.push(Found::Failed {
            what: what.to_owned(),
            why: why.to_owned(),
        });
    }
}
