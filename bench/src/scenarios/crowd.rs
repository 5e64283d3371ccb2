//! Sixty-four pulls at the same time: of as many cold blobs, or of one stored blob.

use super::Aim;
use super::Bench;
use super::Row;
use super::Scenario;
use crate::corpus::MIB;

/// How many clients.
const CLIENTS: usize = 64;

/// The most memory that the pulls may take, in MiB.
const MEMORY: Aim = Aim::Below(40.0);

/// Pulls of 64 MiB each.
#[derive(Debug)]
pub(super) struct Crowd {
    stored: bool,
}

impl Crowd {
    /// Each client pulls a cold blob of its own.
    pub(super) const COLD: Self = Self { stored: false };

    /// All clients pull the same stored blob.
    pub(super) const STORED: Self = Self { stored: true };
}

impl Scenario for Crowd {
    fn name(&self) -> &'static str {
        match self.stored {
            false => "crowd-cold",
            true => "crowd-stored",
        }
    }

    fn rows(&self) -> Vec<Row> {
        let title = match self.stored {
            false => "64 clients, 64 cold 64 MiB blobs",
            true => "64 clients, one stored 64 MiB blob",
        };
        vec![
            Row::new(title, "MB/s"),
            Row::new("- peak memory", "MiB").aim(MEMORY),
        ]
    }

    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        bench.warm_up()?;
        let blobs = match self.stored {
            false => bench.image("crowd", 64 * MIB, CLIENTS)?,
            true => {
                let one = bench.image("crowd", 64 * MIB, 1)?;
                bench.store(&one[0])?;
                vec![one[0].clone(); CLIENTS]
            }
        };
        let crowd = bench.puller.crowd(&blobs)?;
        Ok(vec![Some(crowd.rate()), bench.peak()])
    }
}
