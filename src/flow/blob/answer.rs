//! What an answer is made of: a stored blob, or one that is being fetched.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use super::BlobAsk;
use super::supplier;
use crate::flow::Body;
use crate::flow::Call;
use crate::flow::Error;
use crate::flow::Served;
use crate::flow::Tail;
use crate::flow::flight::Follower;
use crate::flow::growing::Growing;
use crate::ledger::Origin;
use crate::oci::Descriptor;
use crate::oci::media;
use crate::store::Blob;

pub(super) fn from_store(blob: Blob, ask: &BlobAsk) -> Result<Served, Error> {
    let part = part_of(ask, blob.size)?;
    let descriptor = descriptor(ask, blob.size);
    let age = Some(
        SystemTime::now()
            .duration_since(blob.stored)
            .unwrap_or_default(),
    );
    let body = match ask.head {
        true => Body::Empty,
        false => Body::Tail(Tail::stored(
            blob,
            part.clone().unwrap_or(0..descriptor.size),
        )),
    };
    Ok(Served {
        descriptor,
        origin: Origin::Hit,
        age,
        part,
        body,
    })
}

pub(super) fn from_fill(
    growing: Arc<Growing>,
    follower: Follower,
    (call, ask): (&Call, &BlobAsk),
    origin: Origin,
) -> Result<Served, Error> {
    let part = part_of(ask, growing.size())?;
    let descriptor = descriptor(ask, growing.size());
    let whole = part.clone().unwrap_or(0..descriptor.size);
    growing.hurry(whole.start);
    let body = Body::Tail(Tail::growing(
        growing,
        follower,
        Some(supplier(call, &ask.digest)),
        whole,
    ));
    Ok(Served {
        descriptor,
        origin,
        age: None,
        part,
        body,
    })
}

pub(in crate::flow) fn part_of(ask: &BlobAsk, size: u64) -> Result<Option<Range<u64>>, Error> {
    let Some(range) = ask.range.filter(|_| !ask.head) else {
        return Ok(None);
    };
    range
        .within(size)
        .map(Some)
        .ok_or(Error::Unsatisfiable { size })
}

pub(in crate::flow) fn descriptor(ask: &BlobAsk, size: u64) -> Descriptor {
    Descriptor {
        media_type: media::OCTET_STREAM.into(),
        digest: ask.digest.clone(),
        size,
    }
}
