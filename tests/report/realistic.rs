//! Journals as real runs would leave them: by a small model of registries, tools and a mirror, the
//! same at each call.

use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Duration;

use tidegate::ledger::Action;
use tidegate::ledger::Cdn;
use tidegate::ledger::Connection;
use tidegate::ledger::End;
use tidegate::ledger::Leg;
use tidegate::ledger::Origin;
use tidegate::ledger::Protocol;
use tidegate::ledger::Receipt;
use tidegate::ledger::Record;

use crate::craft::But as _;
use crate::craft::connection;
use crate::craft::digest;
use crate::craft::exchange;
use crate::craft::mount;
use crate::craft::run;
use crate::craft::zero;

const REGISTRY: &str = "registry-1.docker.io";
const CDN: &str = "production.cloudflare.docker.com";
const TOKENS: &str = "auth.docker.io";
const TARGET: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

/// Bytes a millisecond, where there are next to none.
const FAST: u64 = 100_000;

/// A tool that copies images from one registry to another.
pub(crate) struct Tool {
    /// Its command line.
    pub(crate) command: &'static str,
    /// How many blobs it moves at once.
    pub(crate) workers: usize,
    /// How many images it copies.
    pub(crate) images: u64,
    /// Whether it tries to mount what another repository has.
    pub(crate) mounts: bool,
    /// Whether it remembers what it has copied already.
    pub(crate) remembers: bool,
}

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below.max(1)
    }
}

/// The size of a blob: few are large, many are small, as layers are.
fn size(blob: u64) -> u64 {
    let mut dice = Dice(blob * 977 + 12_345);
    let power = 12 + dice.roll(15);
    (1 << power) + dice.roll(1 << power)
}

/// What is written down, with a clock for each worker, in milliseconds.
struct Desk {
    dice: Dice,
    records: Vec<(u64, Record)>,
    clocks: Vec<u64>,
}

impl Desk {
    fn new(seed: u64, workers: usize) -> Self {
        Self {
            dice: Dice(seed),
            records: Vec::new(),
            clocks: vec![0; workers],
        }
    }

    /// Writes an exchange down that a worker makes now, at so many bytes a millisecond.
    fn does(&mut self, worker: usize, receipt: Receipt, rate: u64) {
        let first = 8 + self.dice.roll(30);
        let took = first + (receipt.response_bytes + receipt.request_bytes) / rate;
        let start = self.clocks[worker];
        self.clocks[worker] = start + took;
        let receipt = receipt.but(|it| {
            it.ts = zero() + Duration::from_millis(start);
            it.duration = Duration::from_millis(took);
            it.ttfb = (it.response_bytes > 0).then(|| Duration::from_millis(first));
            it.protocol = Protocol::H2;
        });
        self.records.push((start + took, receipt.record()));
    }

    fn connects(&mut self, leg: Leg, host: &str, at: u64, bytes: (u64, u64)) {
        let made = Connection {
            ts: zero() + Duration::from_millis(at),
            ..connection(leg, host, bytes)
        };
        self.records.push((at + 500, made.record()));
    }

    /// The worker of the first `many` that is free first.
    fn free(&self, many: usize) -> usize {
        let clocks = self.clocks[..many].iter().enumerate();
        clocks
            .min_by_key(|(_, clock)| **clock)
            .map_or(0, |(at, _)| at)
    }

    fn end(mut self) -> Vec<Record> {
        self.records.sort_by_key(|(at, _)| *at);
        self.records.into_iter().map(|(_, record)| record).collect()
    }
}

fn asks(leg: Leg, action: Action, host: &str) -> Receipt {
    exchange(leg, action).but(|it| it.host = host.into())
}

/// A tool at work.
struct Copying<'a> {
    tool: &'a Tool,
    desk: Desk,
    known: HashSet<u64>,
}

/// The journal of a tap around `tool`.
pub(crate) fn copied(tool: &Tool, seed: u64) -> Vec<Record> {
    let mut copying = Copying {
        tool,
        desk: Desk::new(seed, tool.workers),
        known: HashSet::new(),
    };
    copying.sign_in();
    (0..tool.images).for_each(|image| copying.image(image));
    let mut desk = copying.desk;
    let wall = desk.clocks.iter().max().copied().unwrap_or(0);
    let (one, many) = (1, tool.workers as u64);
    for (host, many) in [
        (REGISTRY, many),
        (CDN, many * 2),
        (TOKENS, one),
        (TARGET, many),
    ] {
        for number in 0..many {
            desk.connects(
                Leg::Tap,
                &format!("{host}:443"),
                number * 20,
                (90_000, 41_000_000),
            );
        }
    }
    let mut records = desk.end();
    records.push(run(tool.command, wall / 1000 + 1, (30 + many * 3) << 20));
    records
}

impl Copying<'_> {
    fn asks(action: Action, host: &str, (image, blob): (u64, u64)) -> Receipt {
        asks(Leg::Tap, action, host).but(|it| {
            it.repository = format!("library/app-{}", image % 7).into();
            it.reference = digest(blob).into();
        })
    }

    fn sign_in(&mut self) {
        let ping = asks(Leg::Tap, Action::Ping, REGISTRY).but(|it| it.status = 401);
        self.desk.does(0, ping, FAST);
        let token = asks(Leg::Tap, Action::Token, TOKENS).but(|it| it.response_bytes = 2_400);
        self.desk.does(0, token, FAST);
        let begin = self.desk.clocks[0];
        self.desk.clocks.fill(begin);
    }

    fn image(&mut self, image: u64) {
        let worker = self.desk.free(self.tool.workers);
        let manifest = Self::asks(Action::ManifestGet, REGISTRY, (image, 0)).but(|it| {
            it.reference = format!("1.{image}").into();
            it.response_bytes = 1_500;
        });
        self.desk.does(worker, manifest, FAST);
        let referrers = Self::asks(Action::Referrers, REGISTRY, (image, image + 5000));
        self.desk
            .does(worker, referrers.but(|it| it.response_bytes = 90), FAST);
        for layer in 0..6 {
            // The first layers are those of a base that many share.
            let blob = match layer {
                0..3 => image % 4 * 3 + layer,
                _ => 1000 + image * 6 + layer,
            };
            self.layer(image, blob);
        }
        let put = Self::asks(Action::ManifestPut, TARGET, (image, image + 5000)).but(|it| {
            it.request_bytes = 1_500;
            it.status = 201;
        });
        self.desk.does(worker, put, FAST);
    }

    fn layer(&mut self, image: u64, blob: u64) {
        let worker = self.desk.free(self.tool.workers);
        let head = Self::asks(Action::BlobHead, TARGET, (image, blob));
        self.desk.does(worker, head, FAST);
        let is_known = !self.known.insert(blob);
        if is_known && self.tool.remembers {
            return;
        }
        if is_known && self.tool.mounts {
            let is_accepted = self.desk.dice.roll(5) > 0;
            let mounted = mount(Leg::Tap, blob, if is_accepted { 201 } else { 202 });
            self.desk
                .does(worker, mounted.but(|it| it.host = TARGET.into()), FAST);
            if is_accepted {
                return;
            }
        }
        if image > self.tool.images / 2 && self.desk.dice.roll(9) == 0 {
            let throttled = Self::asks(Action::BlobGet, REGISTRY, (image, blob));
            self.desk
                .does(worker, throttled.but(|it| it.status = 429), FAST);
            self.desk.clocks[worker] += 400;
        }
        self.moves(worker, (image, blob));
    }

    fn moves(&mut self, worker: usize, (image, blob): (u64, u64)) {
        let get = Self::asks(Action::BlobGet, REGISTRY, (image, blob));
        self.desk.does(worker, get.but(|it| it.status = 307), FAST);
        let is_cut = self.desk.dice.roll(40) == 0;
        let rate = 20_000 + self.desk.dice.roll(40_000);
        let landed = Self::asks(Action::Redirect, CDN, (image, blob)).but(|it| {
            it.response_bytes = if is_cut { size(blob) / 3 } else { size(blob) };
            it.end = if is_cut { End::Failed } else { End::Complete };
            it.cdn = Some(if blob.is_multiple_of(3) {
                Cdn::Miss
            } else {
                Cdn::Hit
            });
        });
        self.desk.does(worker, landed, rate);
        let begun = Self::asks(Action::UploadStart, TARGET, (image, blob));
        self.desk
            .does(worker, begun.but(|it| it.status = 202), FAST);
        let upload = Self::asks(Action::UploadFinish, TARGET, (image, blob)).but(|it| {
            it.request_bytes = size(blob);
            it.status = 201;
        });
        self.desk.does(worker, upload, rate * 2);
    }
}

/// A mirror at work. The clock after the clients' is its own.
struct Mirroring {
    desk: Desk,
    clients: usize,
    /// When each blob is there.
    stored: HashMap<u64, u64>,
}

/// The journal of a mirror, while `clients` pull `images` each.
pub(crate) fn mirrored(clients: usize, images: u64, seed: u64) -> Vec<Record> {
    let mut mirroring = Mirroring {
        desk: Desk::new(seed, clients + 1),
        clients,
        stored: HashMap::new(),
    };
    for (client, clock) in mirroring.desk.clocks.iter_mut().enumerate() {
        *clock = client as u64 * 350;
    }
    for turn in 0..images * clients as u64 {
        mirroring.pull(turn, images * 2);
    }
    let mut desk = mirroring.desk;
    for client in 0..clients {
        let address = format!("10.0.3.{}:4{client:04}", 10 + client);
        desk.connects(Leg::Client, &address, 0, (80_000_000, 9_000));
    }
    for number in 0..4 {
        desk.connects(
            Leg::Upstream,
            &format!("{CDN}:443"),
            number * 100,
            (9_000, 80_000_000),
        );
    }
    desk.end()
}

impl Mirroring {
    fn pull(&mut self, turn: u64, images: u64) {
        let client = self.desk.free(self.clients);
        let image = self.desk.dice.roll(images);
        let asked = |action, origin| {
            asks(Leg::Client, action, &format!("10.0.3.{}", 10 + client)).but(|it| {
                it.repository = format!("library/app-{image}").into();
                it.registry = "docker.io".into();
                it.reference = "latest".into();
                it.origin = origin;
            })
        };
        if turn.is_multiple_of(5) {
            self.desk.does(client, asked(Action::Ping, None), FAST);
        }
        self.desk
            .does(client, asked(Action::ManifestHead, Some(Origin::Hit)), FAST);
        let manifest = asked(Action::ManifestGet, Some(Origin::Hit));
        self.desk
            .does(client, manifest.but(|it| it.response_bytes = 1_400), FAST);
        for layer in 0..5 {
            let blob = if layer < 2 { layer } else { image * 5 + layer };
            let (origin, rate) = self.find(client, image, blob);
            let answered = asked(Action::BlobGet, Some(origin)).but(|it| {
                it.reference = digest(blob).into();
                it.response_bytes = size(blob);
            });
            self.desk.does(client, answered, rate);
        }
        self.desk.clocks[client] += self.desk.dice.roll(900);
    }

    /// Where a blob comes from, and how fast; it is fetched where it is not stored.
    fn find(&mut self, client: usize, image: u64, blob: u64) -> (Origin, u64) {
        let now = self.desk.clocks[client];
        match self.stored.get(&blob) {
            Some(ready) if *ready > now => return (Origin::Joined, 40_000),
            Some(_) if self.desk.dice.roll(60) == 0 => return (Origin::Stale, 220_000),
            Some(_) => return (Origin::Hit, 220_000),
            None => {}
        }
        let mirror = self.clients;
        self.desk.clocks[mirror] = now;
        let asked = |action, host| {
            asks(Leg::Upstream, action, host).but(|it| {
                it.repository = format!("library/app-{image}").into();
                it.reference = digest(blob).into();
            })
        };
        let get = asked(Action::BlobGet, REGISTRY).but(|it| it.status = 307);
        self.desk.does(mirror, get, FAST);
        let landed = asked(Action::Redirect, CDN).but(|it| {
            it.response_bytes = size(blob);
            it.cdn = Some(Cdn::Hit);
        });
        self.desk.does(mirror, landed, 25_000);
        self.stored.insert(blob, self.desk.clocks[mirror]);
        (Origin::Filled, 24_000)
    }
}
