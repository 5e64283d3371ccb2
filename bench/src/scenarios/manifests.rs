//! Sixteen keep-alive connections ask for a tag's manifest, again and again.

use std::time::Duration;

use super::Bench;
use super::Scenario;
use crate::corpus::MIB;
use crate::load::storm;
use crate::report::Aim;
use crate::report::Line;

/// How many connections ask at the same time.
const CONNECTIONS: usize = 16;

/// Requests for one manifest by tag.
#[derive(Debug)]
pub(super) struct Manifests;

impl Scenario for Manifests {
    fn name(&self) -> &'static str {
        "manifests"
    }

    fn question(&self) -> &'static str {
        "How many manifests by tag can be asked for in a second?"
    }

    fn rows(&self) -> Vec<Line> {
        vec![
            Line::new("manifest by tag, 16 connections", "requests/s")
                .aim(Aim::AtLeast(0.8, "nginx")),
            Line::new("- 99th percentile", "ms"),
            Line::new("- CPU of the server", "s/100,000"),
            Line::new("- peak memory", "MiB"),
        ]
    }

    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        // As many layers as a usual image has: about 2 KiB of JSON.
        bench.image("latest", MIB, 8)?;
        let time = Duration::from_secs(if bench.quick { 2 } else { 5 });
        let (storm, spent) =
            bench.timed(|| storm(bench.puller.addr, "latest", CONNECTIONS, time))?;
        Ok(vec![
            Some(storm.rate),
            Some(storm.p99),
            spent.cpu.map(|cpu| cpu / storm.answers as f64 * 1e5),
            bench.peak(),
        ])
    }
}
