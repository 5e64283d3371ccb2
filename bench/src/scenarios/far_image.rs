//! One client pulls a cold image of many small layers from an origin that is far away: what counts
//! is how often somebody waits for a round trip. The link is a relay of IP packets, as in `far.rs`.

use std::time::Duration;

use fake_registry::Link;

use super::Bench;
use super::Scenario;
use crate::corpus::KIB;
use crate::corpus::MIB;
use crate::origin::Route;
use crate::report::Aim;
use crate::report::Line;

/// How long the layers are, in bytes.
const LAYERS: [u64; 12] = [
    4 * MIB,
    64 * KIB,
    256 * KIB,
    MIB,
    64 * KIB,
    2 * MIB,
    128 * KIB,
    512 * KIB,
    3 * MIB,
    64 * KIB,
    MIB,
    256 * KIB,
];

/// How many of them are pulled at a time: dockerd's default.
const AT_ONCE: usize = 3;

/// 1 Gbit/s, 150 ms.
const LINK: Link = Link::new(Duration::from_millis(150), 125_000_000);

/// Images over a link.
#[derive(Debug)]
pub(super) struct FarImage;

impl Scenario for FarImage {
    fn name(&self) -> &'static str {
        "far-image"
    }

    fn question(&self) -> &'static str {
        "How long does a cold image of 12 small layers take, three at a time, from an origin 150 ms \
         away?"
    }

    fn route(&self) -> Option<Route> {
        Some(Route {
            link: LINK,
            tls: false,
        })
    }

    fn rows(&self) -> Vec<Line> {
        vec![
            Line::new("12 cold layers, 150 ms, 1 Gbit/s", "s").aim(Aim::NoMore(1.05, "direct")),
            Line::new("- the next image", "s").aim(Aim::NoMore(1.05, "direct")),
            Line::new("- requests at the origin, both", "requests"),
            Line::new("- connections to the origin, both", "connections"),
            Line::new("- peak memory", "MiB"),
        ]
    }

    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        let before = bench.origin.asked();
        let image = |tag: &str| -> anyhow::Result<f64> {
            let blobs = bench.origin.publish(tag, &LAYERS)?;
            Ok(bench.puller.image(tag, &blobs, AT_ONCE)?.as_secs_f64())
        };
        let (first, next) = (image("first")?, image("next")?);
        let after = bench.origin.asked();
        Ok(vec![
            Some(first),
            Some(next),
            Some((after.0 - before.0) as f64),
            Some((after.1 - before.1) as f64),
            bench.peak(),
        ])
    }
}
