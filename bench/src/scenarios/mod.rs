//! What is measured. Each scenario runs on a freshly started system with an empty cache.

use std::sync::Arc;
use std::time::Duration;

use crate::corpus::Blob;
use crate::corpus::MIB;
use crate::load::Puller;
use crate::measure;
use crate::measure::Spent;
use crate::origin::Distant;
use crate::origin::Origin;
use crate::origin::Route;
use crate::peers::Peer;
use crate::peers::Running;
use crate::report::Line;

mod crowd;
mod far;
mod far_h2;
mod far_image;
mod herd;
mod hit;
mod ledger;
mod manifests;
mod many;
mod pull;
mod range;
mod start;

/// One scenario.
pub(crate) trait Scenario {
    /// What `--only` calls it.
    fn name(&self) -> &'static str;

    /// Whether it asks for blobs of which the system can't have anything yet.
    fn is_cold(&self) -> bool {
        false
    }

    /// Whether it is run for `peer` where it has to be quick.
    fn concerns_quickly(&self, peer: &Peer) -> bool {
        let is_there = match peer.name() {
            "nginx" => self.route().is_none(),
            "docker-registry" => self.rows().iter().any(|row| row.is_beside(peer.name())),
            _ => peer.is_direct() || peer.is_tidegate(),
        };
        self.concerns(peer) && is_there
    }

    /// Whether clients speak TLS with the system.
    fn is_tls(&self) -> bool {
        false
    }

    /// Whether it is run for `peer`: not where it has each blob by the time that it may be asked for
    /// it, and none is cold.
    fn concerns(&self, peer: &Peer) -> bool {
        let can = !self.is_tls() || peer.speaks_tls();
        can && !peer.is_journalled() && !(self.is_cold() && peer.is_by_image())
    }

    /// The way to the origin; `None` for loopback.
    fn route(&self) -> Option<Route> {
        None
    }

    /// What it asks, as a question.
    fn question(&self) -> &'static str;

    /// The rows that it fills, in the order of [`Scenario::run`]'s figures.
    fn rows(&self) -> Vec<Line>;

    /// One sample of each row; `None` where a row means nothing for this system.
    ///
    /// # Errors
    /// When the system does not do what it should; no figure counts then.
    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>>;
}

/// What a scenario has at hand.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    /// The system.
    pub(crate) system: &'a Running,
    /// What is behind it.
    pub(crate) origin: &'a Origin,
    /// The same as it is reached over a link, where the scenario has one.
    pub(crate) distant: Option<&'a Distant>,
    /// The client's side of it.
    pub(crate) puller: Puller,
    /// Whether to be quick rather than exact.
    pub(crate) quick: bool,
}

/// All scenarios, in the order of the table.
pub(crate) fn all() -> Vec<Box<dyn Scenario>> {
    vec![
        Box::new(pull::Pull::UNPACED),
        Box::new(pull::Pull::AT_5_GBIT),
        Box::new(pull::Pull::AT_1_GBIT),
        Box::new(hit::Hit::PLAIN),
        Box::new(hit::Hit::TLS),
        Box::new(range::Range),
        Box::new(manifests::Manifests),
        Box::new(start::Start),
        Box::new(herd::Herd),
        Box::new(crowd::Crowd::COLD),
        Box::new(crowd::Crowd::STORED),
        Box::new(many::Many::COLD),
        Box::new(many::Many::STORED),
        Box::new(far::FarPull::AT_40_MS),
        Box::new(far::FarPull::AT_150_MS),
        Box::new(far::FarPull::AT_100_MBIT),
        Box::new(far::FarPull::WITH_LOSSES),
        Box::new(far::FarPull::FROM_A_CDN),
        Box::new(far_image::FarImage),
        Box::new(far_h2::FarH2),
        Box::new(ledger::Ledger),
    ]
}

/// What `--only` calls them.
pub(crate) fn names() -> Vec<&'static str> {
    all().iter().map(|one| one.name()).collect()
}

impl Bench<'_> {
    /// Publishes an image and gets its manifest, as a client does before it asks for blobs.
    fn image(&self, tag: &str, size: u64, count: usize) -> anyhow::Result<Vec<Arc<Blob>>> {
        self.image_of(tag, &vec![size; count])
    }

    /// The same of blobs of these sizes.
    fn image_of(&self, tag: &str, sizes: &[u64]) -> anyhow::Result<Vec<Arc<Blob>>> {
        let blobs = self.origin.publish(tag, sizes)?;
        self.puller.manifest(tag)?;
        Ok(blobs)
    }

    /// One small pull, so that no figure holds what a system does once.
    fn warm_up(&self) -> anyhow::Result<()> {
        let blobs = self.image("warm", MIB, 1)?;
        self.puller.pull(&blobs[0])?;
        Ok(())
    }

    /// Pulls the blob until the origin is not asked for it any more, then once again, and waits
    /// until the disk has it.
    fn store(&self, blob: &Blob) -> anyhow::Result<()> {
        if self.system.pid().is_some() {
            let mut tries = 0;
            loop {
                let before = self.origin.counts();
                self.puller.pull(blob)?;
                if self.origin.counts() == before {
                    break;
                }
                tries += 1;
                anyhow::ensure!(tries < 20, "after {tries} pulls it is still not stored");
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        self.puller.pull(blob)?;
        rustix::fs::sync();
        Ok(())
    }

    /// The peak memory of the system so far, in MiB.
    fn peak(&self) -> Option<f64> {
        self.system.pid().map(measure::peak)
    }

    /// What `work` gives, and what the system spent meanwhile.
    fn timed<T>(&self, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Spent)> {
        let pid = self.system.pid();
        let before = Spent::so_far(pid);
        let done = work()?;
        Ok((done, Spent::so_far(pid).since(before)))
    }

    /// How long a large blob is, in bytes.
    fn large(&self) -> u64 {
        match self.quick {
            true => 256 * MIB,
            false => 512 * MIB,
        }
    }
}
