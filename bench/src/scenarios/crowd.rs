//! Sixty-four pulls of a gigabyte at the same time: of as many cold blobs, or of one stored blob.

use std::time::Duration;

use super::Bench;
use super::Scenario;
use crate::corpus::GIB;
use crate::corpus::MIB;
use crate::report::Aim;
use crate::report::Line;

/// How many clients.
const CLIENTS: usize = 64;

/// The most memory that the pulls may take, in MiB.
const MEMORY: Aim = Aim::AtMost(48.0);

/// Pulls of 1 GiB each.
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
            true => "crowd-hit",
        }
    }

    fn is_cold(&self) -> bool {
        !self.stored
    }

    fn question(&self) -> &'static str {
        match self.stored {
            false => "How much memory do 64 cold pulls of 1 GiB at once take?",
            true => "How much memory do 64 pulls of a stored GiB at once take?",
        }
    }

    fn rows(&self) -> Vec<Line> {
        let title = match self.stored {
            false => "64 clients, 64 cold 1 GiB blobs",
            true => "64 clients, one stored 1 GiB blob",
        };
        vec![
            Line::new(title, "MiB of peak memory").aim(MEMORY),
            Line::new("- all clients together", "MB/s"),
        ]
    }

    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        bench.warm_up()?;
        let blobs = match self.stored {
            false => bench.image("crowd", GIB, CLIENTS)?,
            true => {
                let one = bench.image("crowd", GIB, 1)?;
                bench.store(&one[0])?;
                vec![one[0].clone(); CLIENTS]
            }
        };
        // 64 GiB would fill a small machine's disk: the pulls go on side by side for a while, which
        // is all that memory depends on, and are broken off.
        let (seconds, least) = if bench.quick { (1, 2) } else { (10, 8) };
        let time = Duration::from_secs(seconds);
        let crowd = bench.puller.crowd_for(&blobs, time, least * MIB)?;
        Ok(vec![bench.peak(), Some(crowd.rate())])
    }
}
