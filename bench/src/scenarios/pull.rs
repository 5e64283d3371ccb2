//! One client pulls a blob that nobody has asked for yet, over links of several speeds.

use super::Bench;
use super::Scenario;
use crate::corpus::MIB;
use crate::measure;
use crate::report::Aim;
use crate::report::Line;

/// A cold pull.
#[derive(Debug)]
pub(super) struct Pull {
    name: &'static str,
    question: &'static str,
    title: &'static str,
    /// The link's bytes a second; `None` for all that memory gives.
    rate: Option<u64>,
}

impl Pull {
    /// The link is the memory: all parties fight for the same cores.
    pub(super) const UNPACED: Self = Self {
        name: "pull",
        question: "How fast is one client's cold pull, where the link has no limit?",
        title: "cold blob, no link limit",
        rate: None,
    };

    /// What a cloud gives one connection at best.
    pub(super) const AT_5_GBIT: Self = Self {
        name: "pull-5g",
        question: "How fast is one client's cold pull over a link of 5 Gbit/s?",
        title: "cold blob, 5 Gbit/s",
        rate: Some(625_000_000),
    };

    /// A good link to a public registry.
    pub(super) const AT_1_GBIT: Self = Self {
        name: "pull-1g",
        question: "How fast is one client's cold pull over a link of 1 Gbit/s?",
        title: "cold blob, 1 Gbit/s",
        rate: Some(125_000_000),
    };
}

impl Scenario for Pull {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_cold(&self) -> bool {
        true
    }

    fn question(&self) -> &'static str {
        self.question
    }

    fn rows(&self) -> Vec<Line> {
        vec![
            Line::new(self.title, "MB/s")
                .aim(Aim::AtLeast(0.95, "direct"))
                .aim(Aim::AtLeast(1.3, "docker-registry")),
            Line::new("- first byte", "ms").aim(Aim::Within(2.0, "direct")),
            Line::new("- CPU of the server", "s/GiB"),
            Line::new("- bytes over loopback", "x the blob"),
            Line::new("- bytes written to files", "x the blob"),
            Line::new("- peak memory", "MiB"),
        ]
    }

    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        bench.warm_up()?;
        let blobs = bench.image("cold", bench.large(), 1)?;
        let size = blobs[0].size as f64;
        measure::prime_page_cache(bench.system.dir(), blobs[0].size + 128 * MIB)?;
        bench.origin.pace(self.rate);
        let pulled = bench.timed(|| bench.puller.pull(&blobs[0]));
        bench.origin.pace(None);
        let (pulled, spent) = pulled?;
        Ok(vec![
            Some(size / 1e6 / pulled.took.as_secs_f64()),
            Some(pulled.first_byte.as_secs_f64() * 1e3),
            spent.cpu_per_gib(blobs[0].size),
            Some(spent.wire / size),
            spent.written.map(|bytes| bytes / size),
            bench.peak(),
        ])
    }
}
