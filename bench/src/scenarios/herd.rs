//! Sixteen clients ask for one cold blob at the same moment.

use super::Aim;
use super::Bench;
use super::Row;
use super::Scenario;
use crate::corpus::MIB;

/// How many clients.
const CLIENTS: usize = 16;

/// Cold pulls of one blob of 64 MiB.
#[derive(Debug)]
pub(super) struct Herd;

impl Scenario for Herd {
    fn name(&self) -> &'static str {
        "herd"
    }

    fn rows(&self) -> Vec<Row> {
        vec![
            Row::new("16 clients, one cold 64 MiB blob", "upstream GETs").aim(Aim::AtMost(1.0)),
            Row::new("- bytes upstream", "x the blob"),
            Row::new("- all clients together", "MB/s"),
            Row::new("- peak memory", "MiB"),
        ]
    }

    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        bench.warm_up()?;
        let blobs = bench.image("herd", 64 * MIB, 1)?;
        let before = bench.origin.counts();
        let crowd = bench.puller.crowd(&vec![blobs[0].clone(); CLIENTS])?;
        let after = bench.origin.counts();
        let bytes = (after.blob_bytes - before.blob_bytes) as f64;
        Ok(vec![
            Some((after.blob_gets - before.blob_gets) as f64),
            Some(bytes / blobs[0].size as f64),
            Some(crowd.rate()),
            bench.peak(),
        ])
    }
}
