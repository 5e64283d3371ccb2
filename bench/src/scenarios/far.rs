//! One client pulls cold blobs from an origin that is far away: over a link with a round trip, a
//! rate, losses. The link is a relay of IP packets between two TUN devices and two network
//! namespaces (`fake_registry::Far`), for the kernel's netem is not everywhere; TCP is the kernel's.

use std::time::Duration;
use std::time::Instant;

use fake_registry::Link;

use super::Bench;
use super::Scenario;
use crate::corpus::GIB;
use crate::corpus::MIB;
use crate::measure;
use crate::origin::Route;
use crate::report::Aim;
use crate::report::Line;

/// 1 Gbit/s.
const GIGABIT: u64 = 125_000_000;

/// A cold pull over a link.
#[derive(Debug)]
pub(super) struct FarPull {
    name: &'static str,
    question: &'static str,
    title: &'static str,
    link: Link,
    /// What the origin sends over each connection, in bytes a second; `None` for no limit.
    each: Option<u64>,
    /// How long the blob is, in bytes: in full, and where it has to be quick.
    sizes: [u64; 2],
    /// The share of direct's rate that tidegate is to reach.
    aim: f64,
}

impl FarPull {
    /// A registry on the same continent.
    pub(super) const AT_40_MS: Self = Self {
        name: "far-40ms",
        question: "How fast is one client's cold pull from an origin 40 ms away, over 1 Gbit/s?",
        title: "cold blob, 40 ms, 1 Gbit/s",
        link: Link::new(Duration::from_millis(40), GIGABIT),
        each: None,
        sizes: [256 * MIB, 128 * MIB],
        aim: 0.95,
    };

    /// A registry on another one.
    pub(super) const AT_150_MS: Self = Self {
        name: "far-150ms",
        question: "How fast is one client's cold pull from an origin 150 ms away, over 1 Gbit/s?",
        title: "cold blob, 150 ms, 1 Gbit/s",
        link: Link::new(Duration::from_millis(150), GIGABIT),
        ..Self::AT_40_MS
    };

    /// An office's line.
    pub(super) const AT_100_MBIT: Self = Self {
        name: "far-100m",
        question: "How fast is one client's cold pull from an origin 40 ms away, over 100 Mbit/s?",
        title: "cold blob, 40 ms, 100 Mbit/s",
        link: Link::new(Duration::from_millis(40), GIGABIT / 10),
        sizes: [64 * MIB, 32 * MIB],
        ..Self::AT_40_MS
    };

    /// A line that loses packets; they are as small as on the Internet, for what is lost is counted
    /// in packets.
    pub(super) const WITH_LOSSES: Self = Self {
        name: "far-loss",
        question: "How fast is one client's cold pull where 0.5 % of the packets get lost?",
        title: "cold blob, 40 ms, 1 Gbit/s, 0.5 % loss",
        link: Link::new(Duration::from_millis(40), GIGABIT)
            .loss(0.005)
            .mtu(1500),
        ..Self::AT_40_MS
    };

    /// A CDN that limits each connection.
    pub(super) const FROM_A_CDN: Self = Self {
        name: "far-cdn",
        question: "How fast is one client's cold pull from a CDN that sends 20 MB/s over each \
                   connection?",
        title: "cold blob, 40 ms, 20 MB/s a connection",
        each: Some(20_000_000),
        sizes: [GIB, 256 * MIB],
        aim: 3.0,
        ..Self::AT_40_MS
    };
}

impl Scenario for FarPull {
    fn name(&self) -> &'static str {
        self.name
    }

    fn question(&self) -> &'static str {
        self.question
    }

    fn is_cold(&self) -> bool {
        true
    }

    fn route(&self) -> Option<Route> {
        Some(Route {
            link: self.link,
            tls: false,
        })
    }

    fn rows(&self) -> Vec<Line> {
        vec![
            Line::new(self.title, "MB/s").aim(Aim::AtLeast(self.aim, "direct")),
            Line::new("- first manifest of all", "ms"),
            Line::new("- first byte, first blob", "ms").aim(Aim::Within(2.0, "direct")),
            Line::new("- first byte, second blob", "ms").aim(Aim::Within(2.0, "direct")),
            Line::new("- CPU of the server", "s/GiB"),
            Line::new("- peak memory", "MiB"),
            Line::new("- requests at the origin, second blob", "requests"),
        ]
    }

    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        let size = self.sizes[usize::from(bench.quick)];
        let blobs = bench.origin.publish("far", &[MIB, size])?;
        measure::prime_page_cache(bench.system.dir(), size + 128 * MIB)?;
        bench.origin.limit_each(self.each);
        let start = Instant::now();
        let manifest = bench.puller.manifest("far").map(|()| start.elapsed());
        let pulls = manifest.and_then(|manifest| {
            let first = bench.puller.pull(&blobs[0])?;
            let (asked, _) = bench.origin.asked();
            let (second, spent) = bench.timed(|| bench.puller.pull(&blobs[1]))?;
            let asked = bench.origin.asked().0 - asked;
            Ok((manifest, first, (second, spent, asked)))
        });
        bench.origin.limit_each(None);
        let (manifest, first, (second, spent, asked)) = pulls?;
        let ms = |time: Duration| Some(time.as_secs_f64() * 1e3);
        Ok(vec![
            Some(size as f64 / 1e6 / second.took.as_secs_f64()),
            ms(manifest),
            ms(first.first_byte),
            ms(second.first_byte),
            spent.cpu_per_gib(size),
            bench.peak(),
            Some(asked as f64),
        ])
    }
}
