//! What the journal costs: stored blobs and manifests, with it and without.

use std::time::Duration;

use super::Bench;
use super::Scenario;
use crate::corpus::MIB;
use crate::load::storm;
use crate::peers::Peer;
use crate::report::Aim;
use crate::report::Line;

/// How often a blob is pulled by all clients.
const ROUNDS: usize = 4;
/// How many clients pull it at the same time, and how many connections ask for manifests.
const CLIENTS: usize = 16;
/// There are as many records of a small blob as of a large one: two for each pull here, as each is
/// made over a connection of its own.
const SMALL: u64 = 64 * 1024;
/// How many pulls of the small one, in full, and where it has to be quick.
const PULLS: [usize; 2] = [20_000, 5_000];

/// Pulls of stored blobs, large and small, and requests for a manifest.
#[derive(Debug)]
pub(super) struct Ledger;

impl Scenario for Ledger {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn concerns(&self, peer: &Peer) -> bool {
        peer.is_tidegate()
    }

    fn question(&self) -> &'static str {
        "What does the journal cost?"
    }

    fn rows(&self) -> Vec<Line> {
        let aim = Aim::Keeps(0.98, Peer::JOURNALLED);
        vec![
            Line::new("stored large blob, 16 clients", "MB/s").aim(aim),
            Line::new("- CPU of the server", "s/GiB"),
            Line::new("stored 64 KiB, 16 clients", "MB/s"),
            Line::new("manifest by tag, 16 connections", "requests/s"),
            Line::new("- CPU of the server", "s/100,000"),
            Line::new("- peak memory", "MiB"),
        ]
    }

    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        bench.warm_up()?;
        let large = bench.image("ledger", bench.large(), 1)?;
        bench.store(&large[0])?;
        let all = vec![large[0].clone(); CLIENTS];
        let (mut bytes, mut took) = (0, Duration::ZERO);
        let ((), spent) = bench.timed(|| {
            for _ in 0..if bench.quick { 1 } else { ROUNDS } {
                let crowd = bench.puller.crowd(&all)?;
                bytes += crowd.bytes;
                took += crowd.took;
            }
            Ok(())
        })?;
        let small = bench.image("ledger-small", SMALL, 1)?;
        bench.store(&small[0])?;
        let pulls = PULLS[usize::from(bench.quick)];
        let many = bench.puller.share_out(&small, pulls, CLIENTS)?;
        bench.image("latest", MIB, 8)?;
        let time = Duration::from_secs(if bench.quick { 2 } else { 5 });
        let manifests = || storm(bench.puller.addr, "latest", CLIENTS, time);
        let (storm, storm_spent) = bench.timed(manifests)?;
        Ok(vec![
            Some(bytes as f64 / 1e6 / took.as_secs_f64()),
            spent.cpu_per_gib(bytes),
            Some(many.rate()),
            Some(storm.rate),
            storm_spent.cpu.map(|cpu| cpu / storm.answers as f64 * 1e5),
            bench.peak(),
        ])
    }
}
