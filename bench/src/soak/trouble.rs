//! What goes wrong at the upstreams.

use std::time::Duration;

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Random;
use fake_registry::Recorded;
use fake_registry::Upstream;
use fake_registry::When;

use super::client::Place;
use super::pick;
use super::tally::Tally;
use super::world::World;
use super::world::may_be_flipped;

/// Commits one fault after the other at the upstream `at`, and moves tags, until all is over. What
/// is wrong is over when this returns, and while everybody rests.
pub(crate) async fn make(mut place: Place, at: usize, mut random: Random) {
    while place.goes_on().await {
        let (world, tally) = (&place.world, &place.tally);
        let pause = Duration::from_millis(100 + random.next_u64() % 1500);
        tokio::time::sleep(pause).await;
        world.move_a_tag(&mut random);
        tally.happened("tag moved", 1);
        let upstream = world.upstreams()[at];
        let has_tokens = std::ptr::eq(upstream, &world.tokens);
        match pick(&mut random, 24) {
            0 => out(upstream, tally, &mut random).await,
            1 if has_tokens => {
                world.token_server.revoke_tokens();
                tally.happened("tokens revoked", 1);
            }
            2 if has_tokens => tokens_are_out(world, tally).await,
            _ => strike(upstream, tally, &mut random).await,
        }
    }
}

/// The upstream is gone, or silent, for a while.
async fn out(upstream: &Upstream, tally: &Tally, random: &mut Random) {
    if pick(random, 3) == 0 {
        upstream.hole().await;
        tally.happened("upstream silent", 1);
    } else {
        upstream.stop().await;
        tally.happened("upstream out", 1);
    }
    tokio::time::sleep(Duration::from_millis(500 + random.next_u64() % 2500)).await;
    upstream.restart().await;
}

async fn tokens_are_out(world: &World, tally: &Tally) {
    world.token_server.revoke_tokens();
    let fault = world.token_server.fault(When::any(), Fault::status(503));
    tokio::time::sleep(Duration::from_secs(1)).await;
    fault.lift();
    world.token_server.clear_faults();
    tally.happened("token server out", fault.hits() as u64);
}

/// A fault strikes some requests for a while.
async fn strike(upstream: &Upstream, tally: &Tally, random: &mut Random) {
    let gate = Gate::new();
    let (what, when, fault) = fault(random, &gate);
    let times = 1 + pick(random, 5);
    let fault = upstream.fault(when.times(times), fault);
    tokio::time::sleep(Duration::from_millis(300 + random.next_u64() % 2000)).await;
    fault.lift();
    upstream.clear_faults();
    gate.open();
    tally.happened(what, fault.hits() as u64);
}

fn fault(random: &mut Random, gate: &Gate) -> (&'static str, When, Fault) {
    let at = random.next_u64() % (6 << 20);
    let blobs = || When::get("/blobs/");
    let again = |status: u16, seconds: &str| Fault::status(status).header("retry-after", seconds);
    match pick(random, 17) {
        0 | 1 => ("cut", blobs(), Fault::cut_after(at)),
        2 => ("reset", blobs(), Fault::reset_after(at)),
        3 => ("cut at once", When::any(), Fault::cut_after(0)),
        // Never of what can't be verified: a bounded part that goes straight to a client.
        4 | 5 => (
            "bit flipped",
            blobs().and(can_be_verified),
            Fault::flip_bit_at(at / 8),
        ),
        6 => (
            "manifest flipped",
            When::get("/manifests/"),
            Fault::flip_bit_at(at % 300),
        ),
        7 => ("body stalled", blobs(), Fault::stall_after(at, gate)),
        8 => ("header stalled", When::any(), Fault::stall_header(gate)),
        9 => ("429", When::any(), again(429, "1")),
        10 => ("503", When::any(), again(503, "1")),
        11 => ("500", When::any(), Fault::status(500)),
        12 => ("slow", blobs(), Fault::slow(400_000)),
        13 => ("range ignored", blobs(), Fault::ignore_range()),
        14 => ("no length", blobs(), Fault::no_content_length()),
        15 => (
            "length too long",
            blobs(),
            Fault::wrong_length(1 + at as i64 % LIE),
        ),
        _ => (
            "wrong digest header",
            When::path("/manifests/"),
            Fault::wrong_digest_header(),
        ),
    }
}

/// Whether `length` is one that the upstreams claim for a blob of `size` bytes.
pub(crate) fn is_lie(length: u64, size: u64) -> bool {
    length
        .checked_sub(size)
        .is_some_and(|more| (1..=LIE as u64).contains(&more))
}

/// The most by which an upstream exaggerates a length, in bytes.
const LIE: i64 = 100_000;

fn can_be_verified(request: &Recorded) -> bool {
    may_be_flipped(&request.path)
}
