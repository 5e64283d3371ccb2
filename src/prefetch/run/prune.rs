//! Tags that are gone at their source, and still where they were brought to.

use std::collections::BTreeSet;
use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use jiff::Timestamp;

use super::Run;
use super::lists::Lists;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::prefetch::Delivery;
use crate::prefetch::Destination;
use crate::prefetch::Filter;
use crate::prefetch::Item;
use crate::prefetch::ItemOutcome;
use crate::prefetch::Listed;
use crate::prefetch::Order;
use crate::prefetch::Prune;
use crate::prefetch::TagSet;
use crate::prefetch::Verdict;

/// A tag that is gone at its source.
#[derive(Debug)]
struct Gone {
    repository: Repository,
    tag: Tag,
    /// Where it is still.
    at: Vec<Destination>,
}

/// Tells of tags that are gone, or removes them, in those repositories whose tags have all been
/// listed: what a source did not tell of is not gone.
pub(super) async fn prune(run: &Run, lists: Lists) {
    let mut gone = Vec::new();
    for (repository, listed) in lists.all {
        gone.extend(run.gone(&repository, &listed).await);
    }
    gone.sort_by(|a, b| (&a.repository, &a.tag).cmp(&(&b.repository, &b.tag)));
    let count = gone.len() as u64;
    let deletes = run.set.prune == Prune::Delete;
    if deletes && count > run.set.prune_max {
        let most = run.set.prune_max;
        let why = format!(
            "{count} tags are gone at their sources, which is more than prune_max = {most}: none \
             is removed; look whether that is right, and raise prune_max for a run"
        );
        tracing::error!(set = &*run.set.name, "{why}");
        run.record().unasked("prune".to_owned(), why);
    }
    for gone in gone {
        let item = match (deletes && count <= run.set.prune_max, &run.rehearsal) {
            (true, None) => run.remove(&gone).await,
            (true, Some(_)) => Item {
                outcome: ItemOutcome::Pruned,
                ..gone.told()
            },
            (false, _) => gone.told(),
        };
        run.ended(item);
    }
}

impl Run {
    /// The tags of a repository that the set would take, that are where it takes them, and that are
    /// gone.
    async fn gone(&self, repository: &Repository, listed: &Arc<[Tag]>) -> Vec<Gone> {
        let listed: HashSet<&Tag> = listed.iter().collect();
        let mut there = Vec::new();
        for to in &self.set.to {
            there.push((to, self.tags_at(to, repository).await));
        }
        let all = there.iter().flat_map(|(_, tags)| tags);
        let gone: BTreeSet<&Tag> = all.filter(|tag| !listed.contains(tag)).collect();
        let gone = self.would_take(&gone, &listed);
        let at = |tag: &Tag| {
            let has = there.iter().filter(|(_, tags)| tags.contains(tag));
            has.map(|(to, _)| (*to).clone()).collect()
        };
        let gone = gone.into_iter().map(|tag| Gone {
            repository: repository.clone(),
            at: at(&tag),
            tag,
        });
        gone.collect()
    }

    /// The tags of a repository that are at a destination, as far as it is ours to know.
    async fn tags_at(&self, to: &Destination, repository: &Repository) -> BTreeSet<Tag> {
        let tags = match to {
            Destination::Store => match &self.rehearsal {
                Some(rehearsal) => rehearsal.tags(repository).await,
                None => self.world.flow.known_tags(repository).await,
            },
            Destination::Target(target) => match &self.world.targets {
                Some(targets) => targets.tags_there(target, repository),
                None => Vec::new(),
            },
        };
        tags.into_iter().collect()
    }

    /// Those that the set would take if its source had them still, whatever their dates.
    fn would_take(&self, gone: &BTreeSet<&Tag>, listed: &HashSet<&Tag>) -> Vec<Tag> {
        let all = gone.iter().chain(listed).map(|tag| undated((*tag).clone()));
        let judged = by_name(&self.set.tags).judge(&all.collect::<Vec<_>>(), Timestamp::now());
        let taken = judged.into_iter().filter(|it| it.verdict == Verdict::In);
        taken
            .map(|it| it.tag)
            .filter(|tag| gone.contains(tag))
            .collect()
    }

    async fn remove(&self, gone: &Gone) -> Item {
        let mut item = gone.told();
        item.outcome = ItemOutcome::Pruned;
        for delivery in &mut item.to {
            delivery.outcome = ItemOutcome::Pruned;
            let counting = self.world.tally.count();
            let image = (&gone.repository, &gone.tag);
            let removed = match (&*delivery.to, &self.world.targets) {
                ("store", _) => {
                    let dropped = self.world.flow.drop_tag(image.0, image.1).await;
                    dropped.map_err(|error| error.to_string())
                }
                (target, Some(targets)) => {
                    let deleted = targets.delete_tag(target, image, counting.flow).await;
                    deleted.map_err(|error| error.to_string())
                }
                (_, None) => Ok(()),
            };
            self.record().crossed(counting.meter.traffic());
            if let Err(why) = removed {
                delivery.outcome = ItemOutcome::Failed;
                delivery.why = Some(why);
                item.outcome = ItemOutcome::Failed;
            }
        }
        item
    }
}

impl Gone {
    fn told(&self) -> Item {
        let at = |to: &Destination| Delivery {
            to: match to {
                Destination::Store => "store".to_owned(),
                Destination::Target(name) => name.to_string(),
            },
            outcome: ItemOutcome::Gone,
            ..Delivery::default()
        };
        Item {
            image: format!("{}:{}", self.repository, self.tag),
            outcome: ItemOutcome::Gone,
            to: self.at.iter().map(at).collect(),
            why: Some("its source has no such tag any more".to_owned()),
            ..Item::default()
        }
    }
}

/// What a set says of tags' names alone: dates, and how many are newer, are not known of what is
/// gone. Whether they are versions is.
fn by_name(tags: &TagSet) -> TagSet {
    match tags {
        TagSet::Literal(_) => tags.clone(),
        TagSet::Chosen(filter) => {
            let by_date = filter.order == Some(Order::Date);
            let latest = filter.latest.filter(|_| !by_date);
            TagSet::Chosen(Filter {
                latest: latest.map(|_| NonZeroUsize::MAX),
                order: filter.order.filter(|_| !by_date),
                since: None,
                ..filter.clone()
            })
        }
    }
}

fn undated(tag: Tag) -> Listed {
    Listed {
        tag,
        pushed: None,
        digest: None,
    }
}
