//! Sixteen keep-alive connections ask for a tag's manifest, again and again.

use std::time::Duration;

use super::Aim;
use super::Bench;
use super::Row;
use super::Scenario;
use crate::corpus::MIB;
use crate::load::storm;

/// How many connections ask at the same time.
const CONNECTIONS: usize = 16;

/// Requests for one manifest by tag.
#[derive(Debug)]
pub(super) struct Manifests;

impl Scenario for Manifests {
    fn name(&self) -> &'static str {
        "manifests"
    }

    fn rows(&self) -> Vec<Row> {
        vec![
            Row::new("manifest by tag, 16 connections", "requests/s")
                .aim(Aim::AtLeast(0.7, "nginx")),
            Row::new("- 99th percentile", "ms"),
            Row::new("- CPU of the server", "s/100,000"),
            Row::new("- peak memory", "MiB"),
        ]
    }

    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        // As many layers as a usual image has: about 2 KiB of JSON.
        bench.image("latest", MIB, 8)?;
        let time = Duration::from_secs(if bench.quick { 2 } else { 5 });
        let (storm, cpu) = bench.timed(|| storm(bench.puller.addr, "latest", CONNECTIONS, time))?;
        Ok(vec![
            Some(storm.rate),
            Some(storm.p99),
            cpu.map(|cpu| cpu / storm.answers as f64 * 1e5),
            bench.peak(),
        ])
    }
}
