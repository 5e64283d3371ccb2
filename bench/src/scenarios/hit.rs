//! One client, then sixteen at the same time, pull a blob that is stored.

use super::Bench;
use super::Scenario;
use crate::load::CIPHER;
use crate::report::Aim;
use crate::report::Line;

/// How often one client pulls in a row: one pull is too short to count its CPU time.
const IN_A_ROW: u32 = 4;

/// Pulls of a stored blob.
#[derive(Debug)]
pub(super) struct Hit {
    tls: bool,
}

impl Hit {
    /// Over plain HTTP.
    pub(super) const PLAIN: Self = Self { tls: false };

    /// Over TLS, all with the same cipher.
    pub(super) const TLS: Self = Self { tls: true };
}

impl Scenario for Hit {
    fn name(&self) -> &'static str {
        if self.tls { "hit-tls" } else { "hit" }
    }

    fn is_tls(&self) -> bool {
        self.tls
    }

    fn question(&self) -> &'static str {
        match self.tls {
            false => "How fast does a stored blob come, to one client and to sixteen?",
            true => "How fast does a stored blob come over TLS, all with the same cipher?",
        }
    }

    fn rows(&self) -> Vec<Line> {
        let rate = Aim::AtLeast(1.0, "nginx");
        let cpu = Aim::NoMore(1.1, "nginx");
        let over = match self.tls {
            false => String::new(),
            true => format!(", {CIPHER}"),
        };
        vec![
            Line::new(&format!("stored blob, 1 client{over}"), "MB/s").aim(rate),
            Line::new("- CPU of the server", "s/GiB").aim(cpu),
            Line::new(&format!("stored blob, 16 clients{over}"), "MB/s").aim(rate),
            Line::new("- CPU of the server", "s/GiB").aim(cpu),
            Line::new("- peak memory", "MiB"),
        ]
    }

    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        bench.warm_up()?;
        let size = match self.tls && bench.quick {
            // What TLS costs is seen sooner.
            true => bench.large() / 2,
            false => bench.large(),
        };
        let blobs = bench.image("stored", size, 1)?;
        bench.store(&blobs[0])?;
        let (one, one_spent) = bench.timed(|| {
            let mut all = bench.puller.crowd(&blobs)?;
            for _ in 1..IN_A_ROW {
                let next = bench.puller.crowd(&blobs)?;
                all.bytes += next.bytes;
                all.took += next.took;
            }
            Ok(all)
        })?;
        let sixteen = vec![blobs[0].clone(); 16];
        let (many, many_spent) = bench.timed(|| bench.puller.crowd(&sixteen))?;
        Ok(vec![
            Some(one.rate()),
            one_spent.cpu_per_gib(one.bytes),
            Some(many.rate()),
            many_spent.cpu_per_gib(many.bytes),
            bench.peak(),
        ])
    }
}
