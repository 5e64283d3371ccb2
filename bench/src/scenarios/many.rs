//! A thousand pulls of two hundred blobs: by a thousand clients at once, and by sixteen. Many
//! clients should cost memory, not throughput.

use std::sync::Arc;

use super::Bench;
use super::Scenario;
use crate::corpus::Blob;
use crate::corpus::MIB;
use crate::report::Aim;
use crate::report::Line;

/// How many blobs, of 1 MiB each.
const BLOBS: usize = 200;
/// How many pulls.
const PULLS: usize = 1000;
/// How many clients share the pulls where they are few.
const FEW: usize = 16;

/// The most memory that the pulls may take, in MiB.
const MEMORY: Aim = Aim::Below(128.0);
/// How much longer many may take than few: nothing, but for what two runs differ.
const LONGER: Aim = Aim::AtMost(1.1);

/// Pulls by few clients, then by as many as there are pulls.
#[derive(Debug)]
pub(super) struct Many {
    stored: bool,
}

impl Many {
    /// Nobody has asked for the blobs yet.
    pub(super) const COLD: Self = Self { stored: false };

    /// The blobs are stored.
    pub(super) const STORED: Self = Self { stored: true };

    fn blobs(&self, bench: &Bench<'_>, tag: &str) -> anyhow::Result<Vec<Arc<Blob>>> {
        let blobs = bench.image(tag, MIB, BLOBS)?;
        if self.stored && bench.system.pid().is_some() {
            let mut tries = 0;
            loop {
                let before = bench.origin.counts();
                bench.puller.share_out(&blobs, BLOBS, FEW)?;
                if bench.origin.counts() == before {
                    break;
                }
                tries += 1;
                anyhow::ensure!(tries < 20, "after {tries} rounds they are still not stored");
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
        }
        rustix::fs::sync();
        Ok(blobs)
    }
}

impl Scenario for Many {
    fn name(&self) -> &'static str {
        match self.stored {
            false => "crowd-200",
            true => "crowd-200-hit",
        }
    }

    fn is_cold(&self) -> bool {
        !self.stored
    }

    fn question(&self) -> &'static str {
        match self.stored {
            false => "Do a thousand clients at once cost throughput, or memory, for cold blobs?",
            true => "Do a thousand clients at once cost throughput, or memory, for stored blobs?",
        }
    }

    fn rows(&self) -> Vec<Line> {
        let titles = match self.stored {
            false => [
                "16 clients, 1,000 pulls of 200 cold 1 MiB blobs",
                "1,000 clients, the same",
            ],
            true => [
                "16 clients, 1,000 pulls of 200 stored 1 MiB blobs",
                "1,000 clients, the same",
            ],
        };
        vec![
            Line::new(titles[0], "MB/s"),
            Line::new(titles[1], "MB/s"),
            Line::new("- its time", "x that of 16").aim(LONGER),
            Line::new("- peak memory", "MiB").aim(MEMORY),
        ]
    }

    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        bench.warm_up()?;
        let few = self.blobs(bench, "few")?;
        let few = bench.puller.share_out(&few, PULLS, FEW)?;
        let many = self.blobs(bench, "many")?;
        let many = bench.puller.share_out(&many, PULLS, PULLS)?;
        Ok(vec![
            Some(few.rate()),
            Some(many.rate()),
            Some(few.rate() / many.rate()),
            bench.peak(),
        ])
    }
}
