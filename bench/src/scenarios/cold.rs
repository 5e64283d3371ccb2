//! One client pulls a blob that nobody has asked for yet, over links of several speeds.

use super::Aim;
use super::Bench;
use super::Row;
use super::Scenario;
use crate::corpus::MIB;
use crate::measure;

/// A cold pull of 512 MiB.
#[derive(Debug)]
pub(super) struct Cold {
    name: &'static str,
    titles: [&'static str; 4],
    /// The link's bytes a second; `None` for all that memory gives.
    rate: Option<u64>,
}

impl Cold {
    /// The link is the memory: all parties fight for the same cores.
    pub(super) const UNPACED: Self = Self {
        name: "cold",
        titles: [
            "cold 512 MiB, no link limit",
            "- first byte",
            "- CPU of the server",
            "- peak memory",
        ],
        rate: None,
    };

    /// What a cloud gives one connection at best.
    pub(super) const AT_5_GBIT: Self = Self {
        name: "cold-5g",
        titles: [
            "cold 512 MiB, 5 Gbit/s link",
            "- first byte",
            "- CPU of the server",
            "- peak memory",
        ],
        rate: Some(625_000_000),
    };

    /// A good link to a public registry.
    pub(super) const AT_1_GBIT: Self = Self {
        name: "cold-1g",
        titles: [
            "cold 512 MiB, 1 Gbit/s link",
            "- first byte",
            "- CPU of the server",
            "- peak memory",
        ],
        rate: Some(125_000_000),
    };
}

impl Scenario for Cold {
    fn name(&self) -> &'static str {
        self.name
    }

    fn rows(&self) -> Vec<Row> {
        let [rate, first_byte, cpu, peak] = self.titles;
        vec![
            Row::new(rate, "MB/s").aim(Aim::AtLeast(0.95, "direct")),
            Row::new(first_byte, "ms"),
            Row::new(cpu, "s/GiB"),
            Row::new(peak, "MiB"),
        ]
    }

    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        bench.warm_up()?;
        let blobs = bench.image("cold", 512 * MIB, 1)?;
        measure::prime_page_cache(bench.system.dir(), 640 * MIB)?;
        bench.origin.pace(self.rate);
        let pulled = bench.timed(|| bench.puller.pull(&blobs[0]));
        bench.origin.pace(None);
        let (pulled, cpu) = pulled?;
        Ok(vec![
            Some(blobs[0].size as f64 / 1e6 / pulled.took.as_secs_f64()),
            Some(pulled.first_byte.as_secs_f64() * 1e3),
            cpu.map(|cpu| cpu * 2.0),
            bench.peak(),
        ])
    }
}
