use std::sync::Arc;
use std::time::Instant;

use moka::sync::Cache;

use super::Call;
use super::Error;
use super::Listing;
use super::breaker::Gate;
use super::breaker::is_outage;
use super::coalesce::Coalesce;
use crate::ledger::Fate;
use crate::ledger::Origin;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::registry;
use crate::store::Store;

/// Lists of tags and referrers. They are asked for anew each time (referrers after `tag_ttl`), by
/// one request for all who ask at once; while the upstream is out, the last answer stands in.
#[derive(Clone, Debug)]
pub(super) struct Lists {
    store: Arc<Store>,
    last: Cache<ListKey, (Instant, Listing)>,
    requests: Arc<Coalesce<ListKey, Listing>>,
}

/// A list, as asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ListKey {
    pub(super) repository: Repository,
    /// Whose referrers; `None` for tags.
    pub(super) subject: Option<Digest>,
    /// The client's query.
    pub(super) query: String,
}

/// What the remembered lists may take, in bytes.
const CACHED: u64 = 4 << 20;

impl Lists {
    pub(super) fn new(store: Arc<Store>) -> Self {
        let weigh = |_: &_, (_, listing): &(Instant, Listing)| {
            u32::try_from(listing.bytes.len())
                .unwrap_or(u32::MAX)
                .saturating_add(512)
        };
        let last = Cache::builder().max_capacity(CACHED).weigher(weigh).build();
        Self {
            store,
            last,
            requests: Arc::default(),
        }
    }

    /// The list.
    ///
    /// # Errors
    /// When the upstream refuses, or is out and nothing is remembered.
    pub(super) async fn get(&self, call: &Call, key: ListKey) -> Result<Listing, Error> {
        if call.who.is_some() {
            // The list's own request decides: what others were told is not this caller's.
            return ask(call, &key).await;
        }
        if key.subject.is_some()
            && let Some((since, listing)) = self.last.get(&key)
            && since.elapsed() < call.route.upstream.tag_ttl
        {
            return Ok(Listing {
                origin: Origin::Hit,
                ..listing
            });
        }
        if call.route.breaker.gate() == Gate::Open
            && let Some(listing) = self.remembered(&key).await
        {
            return Ok(listing);
        }
        let (this, task, wanted) = (self.clone(), call.clone(), key.clone());
        let work = move || async move {
            let listing = ask(&task, &wanted).await?;
            this.last.insert(wanted, (Instant::now(), listing.clone()));
            Ok(listing)
        };
        match self.requests.run(key.clone(), work).await {
            (Ok(listing), seat) => Ok(Listing {
                origin: seat.origin(),
                ..listing
            }),
            (Err(error), _) => match &error {
                Error::Upstream { error: cause, .. } if is_outage(cause) => {
                    self.remembered(&key).await.ok_or(error)
                }
                _ => Err(error),
            },
        }
    }

    /// The last answer, else, for all tags, those that are stored.
    async fn remembered(&self, key: &ListKey) -> Option<Listing> {
        if let Some((_, listing)) = self.last.get(key) {
            return Some(Listing {
                origin: Origin::Stale,
                ..listing
            });
        }
        if key.subject.is_some() || !key.query.is_empty() {
            return None;
        }
        let tags = self
            .store
            .tags(&key.repository)
            .await
            .ok()
            .filter(|tags| !tags.is_empty())?;
        let tags: Vec<_> = tags.iter().map(|tag| tag.as_str()).collect();
        let json = serde_json::json!({ "name": key.repository.name.as_str(), "tags": tags });
        Some(Listing {
            bytes: json.to_string().into(),
            media_type: "application/json".into(),
            next: None,
            filters: None,
            origin: Origin::Stale,
        })
    }
}

async fn ask(call: &Call, key: &ListKey) -> Result<Listing, Error> {
    let (registry, name) = (call.registry(), &call.repository.name);
    let answer = match &key.subject {
        None => registry.tag_list(call.flow, name, &key.query).await,
        Some(digest) => {
            registry
                .referrers(call.flow, name, digest, &key.query)
                .await
        }
    };
    let answer = call.noted(answer).map_err(|error| match error {
        registry::Error::NotFound { code } => Error::NoRepository(call.repository.clone(), code),
        error => Error::Upstream {
            repository: call.repository.clone(),
            error,
        },
    })?;
    let registry::Listing {
        bytes,
        mut unspent,
        media_type,
        next,
        filters,
    } = answer;
    unspent.spend_all(Fate::Passed);
    Ok(Listing {
        bytes,
        media_type,
        next,
        filters,
        origin: Origin::Filled,
    })
}
