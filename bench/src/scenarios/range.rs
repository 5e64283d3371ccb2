//! One client asks for small parts of a large stored blob, as lazy pullers (estargz, SOCI) do.

use std::time::Duration;
use std::time::Instant;

use super::Bench;
use super::Scenario;
use crate::measure::quantile;
use crate::report::Line;

/// How long a part is, in bytes.
const PART: u64 = 64 * 1024;
/// How far apart two parts are, in bytes: a prime, so that they lie everywhere.
const STEP: u64 = 7_654_321;

/// Ranges of a stored blob, one after the other over one connection.
#[derive(Debug)]
pub(super) struct Range;

impl Scenario for Range {
    fn name(&self) -> &'static str {
        "range"
    }

    fn question(&self) -> &'static str {
        "How many parts of a stored blob can one client ask for in a second, one after the other?"
    }

    fn rows(&self) -> Vec<Line> {
        vec![
            Line::new("64 KiB of a stored blob, one connection", "requests/s"),
            Line::new("- median", "ms"),
            Line::new("- 99th percentile", "ms"),
        ]
    }

    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        bench.warm_up()?;
        let blobs = bench.image("range", bench.large(), 1)?;
        bench.store(&blobs[0])?;
        let mut parts = bench.puller.parts(&blobs[0])?;
        let time = Duration::from_secs(if bench.quick { 1 } else { 3 });
        let last = blobs[0].size - PART;
        let mut waits = Vec::new();
        let start = Instant::now();
        while start.elapsed() < time {
            let at = (waits.len() as u64 * STEP) % last;
            waits.push(parts.get(at, PART)?.as_secs_f64() * 1e3);
        }
        Ok(vec![
            Some(waits.len() as f64 / start.elapsed().as_secs_f64()),
            quantile(&waits, 0.5),
            quantile(&waits, 0.99),
        ])
    }
}
