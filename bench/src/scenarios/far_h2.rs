//! Cold pulls from an origin that is far away and speaks HTTP/2 over TLS, as real registries do: what
//! counts are the windows of flow control. The link is a relay of IP packets, as in `far.rs`; nginx,
//! beside the origin, speaks HTTP/2 for it. Direct is curl, over one connection.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use fake_registry::Link;

use super::Bench;
use super::Scenario;
use crate::corpus::Blob;
use crate::corpus::MIB;
use crate::load::curl;
use crate::measure;
use crate::origin::Route;
use crate::report::Aim;
use crate::report::Line;

/// How many blobs are pulled at once.
const CROWD: usize = 8;

/// 1 Gbit/s, 150 ms.
const LINK: Link = Link::new(Duration::from_millis(150), 125_000_000);

/// Pulls over HTTP/2.
#[derive(Debug)]
pub(super) struct FarH2;

impl Scenario for FarH2 {
    fn name(&self) -> &'static str {
        "far-h2"
    }

    fn question(&self) -> &'static str {
        "How fast are cold pulls over HTTP/2 and TLS from an origin 150 ms away?"
    }

    fn is_cold(&self) -> bool {
        true
    }

    fn route(&self) -> Option<Route> {
        Some(Route {
            link: LINK,
            tls: true,
        })
    }

    fn rows(&self) -> Vec<Line> {
        vec![
            Line::new("cold blob, HTTP/2, 150 ms, 1 Gbit/s", "MB/s")
                .aim(Aim::AtLeast(0.95, "direct")),
            Line::new("- first byte", "ms").aim(Aim::Within(2.0, "direct")),
            Line::new("- CPU of the server", "s/GiB"),
            Line::new("8 cold blobs at once", "MB/s").aim(Aim::AtLeast(0.95, "direct")),
            Line::new("- peak memory", "MiB"),
            Line::new("- connections to the origin", "connections"),
        ]
    }

    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        let size = if bench.quick { 128 * MIB } else { 256 * MIB };
        let front = bench.distant.and_then(|distant| distant.front());
        let front = front.context("the origin speaks no TLS")?;
        let sizes = [vec![size], vec![size / CROWD as u64; CROWD]].concat();
        let blobs = bench.origin.publish("h2", &sizes)?;
        measure::prime_page_cache(bench.system.dir(), 2 * size + 128 * MIB)?;
        if bench.system.pid().is_some() {
            bench.puller.manifest("h2")?;
        }
        let ((took, first_byte), spent) = bench.timed(|| pull(bench, &blobs[..1]))?;
        let (crowd, _) = pull(bench, &blobs[1..])?;
        let rate = |took: Duration| Some(size as f64 / 1e6 / took.as_secs_f64());
        Ok(vec![
            rate(took),
            first_byte.map(|time| time.as_secs_f64() * 1e3),
            spent.cpu_per_gib(size),
            rate(crowd),
            bench.peak(),
            Some(front.connections() as f64),
        ])
    }
}

/// Pulls all the blobs at the same time: how long it took, and the first byte where it is one.
fn pull(bench: &Bench<'_>, blobs: &[Arc<Blob>]) -> anyhow::Result<(Duration, Option<Duration>)> {
    match (bench.system.pid(), bench.distant, blobs) {
        (None, Some(distant), _) => {
            let pulled = curl(&distant.upstream(), blobs)?;
            Ok((pulled.took, Some(pulled.first_byte)))
        }
        (_, _, [blob]) => {
            let pulled = bench.puller.pull(blob)?;
            Ok((pulled.took, Some(pulled.first_byte)))
        }
        _ => Ok((bench.puller.crowd(blobs)?.took, None)),
    }
}
