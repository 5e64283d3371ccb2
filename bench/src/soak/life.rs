//! The course of a run: first restarts, then one long life of one process, then the reckoning.

use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use fake_registry::Client;
use fake_registry::Random;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Options;
use super::Shared;
use super::body::Pace;
use super::client;
use super::client::Mode;
use super::client::Place;
use super::pick;
use super::proxy::MAX_SIZE;
use super::proxy::Proxy;
use super::pull::Asker;
use super::series;
use super::series::Sample;
use super::tally::Outcome;
use super::tally::Tally;
use super::trouble;
use super::world::World;

/// What is told of a run besides the counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// The process of the long life, second by second.
    pub(crate) samples: Vec<Sample>,
    /// The same at rest: after a quarter of its life, and at its end.
    pub(crate) at_rest: Vec<Sample>,
    /// The most that the store held, in bytes.
    pub(crate) most_stored: u64,
    /// What `store verify` last said.
    pub(crate) verified: Value,
    /// Blobs and manifests that were pulled at the end.
    pub(crate) pulled_at_end: usize,
}

/// What one run has.
struct Run {
    place: Place,
    mode: watch::Sender<Mode>,
    /// How many tasks there are, which rest in a pause.
    tasks: usize,
    proxy: Proxy,
    random: Random,
    report: Report,
}

/// The share of the time in which tidegate is ended and killed; then one process lives on.
const RESTARTS: f64 = 0.35;
/// How long something may take that must happen soon.
const PATIENCE: Duration = Duration::from_secs(90);
/// More than the largest blob, in bytes: the store may hold so much more than its limit.
const ONE_FILL: u64 = 13 << 20;

/// Lives through it all.
///
/// # Errors
/// When the run can't go on for another reason than something wrong, which the tally tells.
pub(crate) async fn live(
    options: &Options,
    tidegate: &Path,
    mut random: Random,
) -> anyhow::Result<(Shared<Tally>, Report)> {
    let world = Shared::new(World::make(&mut random).await);
    let folder = tempfile::tempdir_in(&options.dir)?;
    let proxy = Proxy::start(tidegate, folder.path(), &world).await;
    let tally = Shared::new(Tally::new());
    let (mode, receiver) = watch::channel(Mode::Run);
    let place = Place {
        world,
        tally: tally.clone(),
        url: proxy.url(),
        mode: receiver,
        resting: Shared::new(AtomicUsize::new(0)),
    };
    let mut tasks = JoinSet::new();
    for number in 0..options.clients {
        tasks.spawn(client::pull(
            place.clone(),
            number,
            Random::new(random.next_u64()),
        ));
    }
    for at in 0..place.world.upstreams().len() {
        let random = Random::new(random.next_u64());
        tasks.spawn(trouble::make(place.clone(), at, random));
    }
    let mut run = Run {
        place,
        mode,
        tasks: tasks.len(),
        proxy,
        random,
        report: Report::default(),
    };
    let lived = run.phases(options.length()).await;
    if let Err(error) = lived {
        tally.fail(format!("{error:#}"));
    }
    if tally.failure().is_some() {
        eprintln!(
            "the last lines of tidegate's log:\n{}",
            run.proxy.last_words()
        );
    }
    run.mode.send_replace(Mode::Stop);
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tally.fail(format!("a task of the soak itself failed: {error}"));
        }
    }
    Ok((tally, run.report))
}

impl Run {
    async fn phases(&mut self, length: Duration) -> anyhow::Result<()> {
        self.restarts(length.mul_f64(RESTARTS)).await?;
        self.proxy.end_and_start().await?;
        self.happened("ended and started");
        self.long_life(length.mul_f64(1.0 - RESTARTS)).await?;
        self.mode.send_replace(Mode::Pause);
        self.all_rest().await?;
        self.reckoning().await
    }

    /// tidegate is ended and killed again and again.
    async fn restarts(&mut self, length: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            let pause = 2.0 + pick(&mut self.random, 4000) as f64 / 1000.0;
            self.go_on(Duration::from_secs_f64(pause)).await?;
            if pick(&mut self.random, 3) == 0 {
                self.proxy.end_and_start().await?;
                self.happened("ended and started");
            } else {
                self.proxy.kill().await?;
                self.happened("killed and started");
            }
            self.verify().await?;
        }
        Ok(())
    }

    /// One process, with everything but restarts.
    async fn long_life(&mut self, length: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut next = start + Duration::from_secs(5);
        while start.elapsed() < length {
            self.go_on(Duration::from_secs(1)).await?;
            let sample = Sample::take(self.proxy.pid(), start.elapsed());
            self.report.samples.push(sample);
            self.look_at_the_store().await?;
            if self.report.at_rest.is_empty() && start.elapsed() >= length / 4 {
                self.rest(start).await?;
            }
            if Instant::now() >= next {
                next = Instant::now() + Duration::from_secs(5);
                self.proxy
                    .reload(&self.place.world, 1 + pick(&mut self.random, 3) as u64);
                self.happened("reloaded");
                self.verify().await?;
            }
        }
        self.rest(start).await?;
        if let [early, late] = self.report.at_rest[..]
            && let Some(growth) = series::growth(early, late)
        {
            anyhow::bail!(growth);
        }
        Ok(())
    }

    /// Waits, unless something is wrong meanwhile.
    async fn go_on(&mut self, pause: Duration) -> anyhow::Result<()> {
        tokio::time::sleep(pause).await;
        crate::stop::check()?;
        self.place.tally.sent(self.place.world.take_sent());
        if let Some(failure) = self.place.tally.failure() {
            anyhow::bail!("the run was given up: {failure}");
        }
        anyhow::ensure!(self.proxy.is_alive(), "tidegate ended by itself");
        Ok(())
    }

    /// Everybody rests, nothing is under way and no connection is open; then looks at the process.
    async fn rest(&mut self, start: Instant) -> anyhow::Result<()> {
        self.mode.send_replace(Mode::Pause);
        self.all_rest().await?;
        let mut least = Sample::take(self.proxy.pid(), start.elapsed());
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let sample = Sample::take(self.proxy.pid(), start.elapsed());
            least.anonymous = least.anonymous.min(sample.anonymous);
            least.descriptors = least.descriptors.min(sample.descriptors);
            least.rss = least.rss.min(sample.rss);
        }
        self.report.at_rest.push(least);
        self.mode.send_replace(Mode::Run);
        Ok(())
    }

    async fn all_rest(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let glance = Duration::from_millis(50);
        while self.place.resting.load(Ordering::SeqCst) < self.tasks {
            anyhow::ensure!(Instant::now() < deadline, "a client hangs");
            tokio::time::sleep(glance).await;
        }
        while self.proxy.status().await?["fills"] != 0 {
            anyhow::ensure!(
                Instant::now() < deadline,
                "a fill hangs that nobody waits for"
            );
            tokio::time::sleep(glance).await;
        }
        // No connection to an upstream outlives this, and nothing is wrong any more.
        for upstream in self.place.world.upstreams() {
            upstream.clear_faults();
            upstream.restart().await;
        }
        self.place.world.token_server.restart().await;
        Ok(())
    }

    /// `store verify`, beside all that is going on.
    async fn verify(&mut self) -> anyhow::Result<()> {
        self.report.verified = self.proxy.verify().await?;
        self.happened("store verified");
        Ok(())
    }

    async fn look_at_the_store(&mut self) -> anyhow::Result<()> {
        let status = self.proxy.status().await?;
        let stored = status["store"]["bytes"]
            .as_u64()
            .context("no store.bytes")?;
        anyhow::ensure!(
            stored <= MAX_SIZE + ONE_FILL,
            "the store holds {stored} bytes, its limit is {MAX_SIZE}"
        );
        self.report.most_stored = self.report.most_stored.max(stored);
        let imbalance = &status["books"]["imbalance"];
        anyhow::ensure!(
            *imbalance == 0,
            "the books do not balance by {imbalance} bytes"
        );
        Ok(())
    }

    /// Nothing is wrong any more: everything can be pulled, and the store is in order.
    async fn reckoning(&mut self) -> anyhow::Result<()> {
        let world = self.place.world.clone();
        let asker = Asker {
            client: Client::new(),
            url: self.proxy.url(),
            tally: self.place.tally.clone(),
        };
        for repository in &world.repositories {
            for version in &repository.versions {
                let manifests = version.children.iter().chain([&version.root]);
                for manifest in manifests {
                    let pull = async || asker.manifest(repository, &manifest.digest).await;
                    self.soon(&manifest.digest, async || pull().await.is_some())
                        .await?;
                }
                for blob in &version.blobs {
                    let pull = async || asker.blob(repository, blob, Pace::Fast).await;
                    self.soon(&blob.digest, async || pull().await == Outcome::Right)
                        .await?;
                }
            }
            let latest = async || asker.manifest(repository, "latest").await;
            let is_new = async || latest().await.as_deref() == Some(repository.latest());
            self.soon(&format!("{}:latest", repository.name), is_new)
                .await?;
        }
        self.look_at_the_store().await?;
        self.verify().await?;
        self.proxy.end().await?;
        self.verify().await?;
        let leftovers = self.proxy.leftovers()?;
        anyhow::ensure!(leftovers.is_empty(), "files are left over: {leftovers:?}");
        self.place.tally.sent(world.take_sent());
        Ok(())
    }

    async fn soon(&mut self, what: &str, done: impl AsyncFn() -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !done().await {
            anyhow::ensure!(
                Instant::now() < deadline,
                "{what} can't be had though all is well"
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        self.report.pulled_at_end += 1;
        Ok(())
    }

    fn happened(&self, what: &'static str) {
        self.place.tally.happened(what, 1);
    }
}
