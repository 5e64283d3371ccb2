use std::ops::Range;

use super::Body;
use super::ByteRange;
use super::Call;
use super::Error;
use super::Passed;
use super::Served;
use super::Tail;
use super::blob::BlobAsk;
use super::blob::Blobs;
use super::blob::descriptor;
use super::blob::no_blob;
use super::blob::part_of;
use super::blob::supplier;
use super::flight::Opened;
use super::passed::longest_unknown;
use super::passed::measured;
use super::supplier::Supplier;
use crate::ledger::Origin;
use crate::oci::Descriptor;
use crate::oci::Digest;
use crate::oci::Hasher;
use crate::registry;
use crate::registry::FetchedBlob;

/// What is passed on from the upstream, unstored.
impl Blobs {
    /// A bounded part: from a fill that is near it, else from the upstream, unstored, so that a
    /// lazy puller doesn't cost the whole blob.
    pub(super) async fn part(&self, call: &Call, ask: &BlobAsk) -> Result<Served, Error> {
        if let Some((Opened::Growing(growing), follower)) = self.coming(call, ask).await?
            && let Some(part) = part_of(ask, growing.size())?
            && growing.coverage(|coverage| coverage.is_near(part.start))
        {
            let supplier = supplier(call, &ask.digest);
            let tail = Tail::growing(growing.clone(), follower, Some(supplier), part.clone());
            let body = Body::Tail(tail);
            let descriptor = descriptor(ask, growing.size());
            let (origin, age, part) = (Origin::Joined, None, Some(part));
            return Ok(Served {
                descriptor,
                origin,
                age,
                part,
                body,
            });
        }
        let part = match ask.range {
            Some(ByteRange::Within(start, last)) if start <= last => start..last.saturating_add(1),
            _ => {
                let Some(size) = self.ask_size(call, &ask.digest).await? else {
                    return self.follow(call, ask).await;
                };
                part_of(ask, size)?.unwrap_or(0..size)
            }
        };
        let supplier = self.supplier(call, &ask.digest);
        let fetched = open(call, &supplier, Some(part.clone())).await;
        let fetched = match fetched {
            Err(registry::Error::Unsatisfiable) => {
                let size = self.ask_size(call, &ask.digest).await?.unwrap_or(0);
                return Err(Error::Unsatisfiable { size });
            }
            fetched => fetched.map_err(|error| no_blob(call, &ask.digest, error))?,
        };
        match fetched.total {
            Some(size) if fetched.partial => {
                let part = part.start..part.end.min(size);
                let body = Passed::new(supplier, Some(fetched), part.clone(), size);
                Ok(bypassed(descriptor(ask, size), Some(part), body))
            }
            // It ignores ranges: the whole comes anyway, so it is kept.
            _ => {
                drop(fetched);
                self.follow(call, ask).await
            }
        }
    }

    /// Whoever has the blob: targets, then the upstream.
    fn supplier(&self, call: &Call, digest: &Digest) -> Supplier {
        Supplier {
            mirrors: self.mirrors.holding(call, digest),
            ..supplier(call, digest)
        }
    }

    /// The whole, or all from the start of the range on, for the store doesn't take it. `leftover`
    /// is the upstream's answer to who asked for the whole, where nobody has read from it yet.
    pub(super) async fn pass(
        &self,
        call: &Call,
        ask: &BlobAsk,
        leftover: Option<FetchedBlob>,
    ) -> Result<Served, Error> {
        let start = match ask.range {
            Some(ByteRange::From(start)) => start,
            _ => 0,
        };
        let supplier = self.supplier(call, &ask.digest);
        let fetched = match leftover.filter(|_| start == 0) {
            Some(fetched) => fetched,
            None => {
                let range = (start > 0).then_some(start..u64::MAX);
                let fetched = open(call, &supplier, range).await;
                fetched.map_err(|error| supplier.error(error))?
            }
        };
        let (size, fetched) = match fetched.total {
            Some(size) => (size, Some(fetched)),
            None => match self.ask_size(call, &ask.digest).await? {
                Some(size) if size > 0 => (size, Some(fetched)),
                _ => {
                    let most = longest_unknown(&self.store);
                    let measured = measured(&supplier, fetched, most).await;
                    (measured.inspect_err(|error| supplier.count(error))?, None)
                }
            },
        };
        if size == 0 && Hasher::new(ask.digest.algorithm()).finish() != ask.digest {
            // An empty answer would be complete at once.
            let error = registry::Error::Wrong("no bytes, where the digest is of some".into());
            return Err(no_blob(call, &ask.digest, error));
        }
        let part = part_of(ask, size)?;
        let body = Passed::new(supplier, fetched, part.clone().unwrap_or(0..size), size);
        Ok(bypassed(descriptor(ask, size), part, body))
    }
}

/// A blob's bytes from a target, else from the upstream.
async fn open(
    call: &Call,
    supplier: &Supplier,
    range: Option<Range<u64>>,
) -> Result<FetchedBlob, registry::Error> {
    for mirror in &*supplier.mirrors {
        let fetched = mirror.blob(call.flow, &supplier.digest, range.clone());
        if let Ok(fetched) = fetched.await
            && fetched.total.is_some_and(|size| size > 0)
            && fetched.partial == range.is_some()
        {
            return Ok(fetched);
        }
    }
    let (registry, name) = (call.registry(), &call.repository.name);
    let fetched = registry.blob_get(call.flow, name, &supplier.digest, range);
    call.noted(fetched.await)
}

fn bypassed(descriptor: Descriptor, part: Option<Range<u64>>, body: Passed) -> Served {
    Served {
        descriptor,
        origin: Origin::Bypassed,
        age: None,
        part,
        body: Body::Passed(body),
    }
}
