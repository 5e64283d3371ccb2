//! One client, then sixteen at the same time, pull a blob that is stored.

use super::Aim;
use super::Bench;
use super::Row;
use super::Scenario;
use crate::corpus::MIB;
use crate::load::Crowd;

/// How often one client pulls in a row: one pull is too short to count its CPU time.
const IN_A_ROW: u32 = 4;

/// Pulls of a stored blob of 512 MiB.
#[derive(Debug)]
pub(super) struct Stored;

impl Scenario for Stored {
    fn name(&self) -> &'static str {
        "stored"
    }

    fn rows(&self) -> Vec<Row> {
        let aim = Aim::AtLeast(1.0, "nginx");
        vec![
            Row::new("stored 512 MiB, 1 client", "MB/s").aim(aim),
            Row::new("- CPU of the server", "s/GiB"),
            Row::new("stored 512 MiB, 16 clients", "MB/s").aim(aim),
            Row::new("- CPU of the server", "s/GiB"),
            Row::new("- peak memory", "MiB"),
        ]
    }

    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        bench.warm_up()?;
        let blobs = bench.image("stored", 512 * MIB, 1)?;
        bench.store(&blobs[0])?;
        let (one, one_cpu) = bench.timed(|| {
            let mut all = bench.puller.crowd(&blobs)?;
            for _ in 1..IN_A_ROW {
                let next = bench.puller.crowd(&blobs)?;
                all.bytes += next.bytes;
                all.took += next.took;
            }
            Ok(all)
        })?;
        let sixteen = vec![blobs[0].clone(); 16];
        let (many, many_cpu) = bench.timed(|| bench.puller.crowd(&sixteen))?;
        Ok(vec![
            Some(one.rate()),
            per_gib(one_cpu, &one),
            Some(many.rate()),
            per_gib(many_cpu, &many),
            bench.peak(),
        ])
    }
}

fn per_gib(cpu: Option<f64>, crowd: &Crowd) -> Option<f64> {
    Some(cpu? / (crowd.bytes as f64 / f64::from(1 << 30)))
}
