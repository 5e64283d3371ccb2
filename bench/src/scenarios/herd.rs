//! A hundred clients ask for one cold blob at the same moment.

use super::Bench;
use super::Scenario;
use crate::corpus::MIB;
use crate::peers::Peer;
use crate::report::Aim;
use crate::report::Line;

/// How many clients.
const CLIENTS: usize = 100;

/// What the origin's link gives, in bytes a second: so little that the cores can hand on a hundred
/// copies meanwhile.
const LINK: u64 = 25_000_000;

/// How long the blob is, in bytes.
const SIZE: u64 = 8 * MIB;

/// Cold pulls of one blob.
#[derive(Debug)]
pub(super) struct Herd;

impl Scenario for Herd {
    fn name(&self) -> &'static str {
        "herd"
    }

    fn concerns(&self, peer: &Peer) -> bool {
        // A hundred clients of the origin are a hundred pulls.
        !peer.is_direct() && !peer.is_journalled() && !peer.is_by_image()
    }

    fn question(&self) -> &'static str {
        "What do a hundred clients cost that ask for one cold blob at once?"
    }

    fn rows(&self) -> Vec<Line> {
        vec![
            Line::new("100 clients, one cold 8 MiB blob", "upstream GETs").aim(Aim::AtMost(1.0)),
            Line::new("- bytes upstream", "x the blob"),
            Line::new("- until all have it", "x one cold pull").aim(Aim::AtMost(1.2)),
            Line::new("- all clients together", "MB/s"),
            Line::new("- peak memory", "MiB"),
        ]
    }

    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        bench.warm_up()?;
        let alone = bench.image("alone", SIZE, 1)?;
        bench.origin.pace(Some(LINK));
        let alone = bench.puller.pull(&alone[0]);
        let herd = alone.and_then(|alone| {
            let blobs = bench.image("herd", SIZE, 1)?;
            let before = bench.origin.counts();
            let crowd = bench.puller.crowd(&vec![blobs[0].clone(); CLIENTS])?;
            Ok((alone, before, crowd, blobs[0].size as f64))
        });
        bench.origin.pace(None);
        let (alone, before, crowd, size) = herd?;
        let after = bench.origin.counts();
        let bytes = (after.blob_bytes - before.blob_bytes) as f64;
        Ok(vec![
            Some((after.blob_gets - before.blob_gets) as f64),
            Some(bytes / size),
            Some(crowd.took.as_secs_f64() / alone.took.as_secs_f64()),
            Some(crowd.rate()),
            bench.peak(),
        ])
    }
}
