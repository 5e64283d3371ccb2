//! The corpus kept in step with its source: into an empty target, again, after some tags moved, and
//! broken off half-way and gone on with; with more and more of it; and with what is about images.
//!
//! The timed runs are not tapped: the tap would take a part of the same two cores, and a larger one
//! of who moves more. What they ask is in the registries' logs all the same. `tapped` is a run of its
//! own.

use std::time::Duration;
use std::time::Instant;

use fake_registry::Access;
use fake_registry::DockerRegistry;
use fake_registry::Extent;
use fake_registry::ProcessBuilder;

use super::About;
use super::Contestant;
use super::Count;
use super::Effort;
use super::Line;
use super::Measured;
use super::Options;
use super::Outcome;
use super::contestant::Watch;
use super::contestant::in_turn;
use super::table;
use super::world::Stage;
use super::world::World;
use crate::machine::Machine;
use crate::stop;

mod many;

pub(crate) use many::Options as ManyOptions;
pub(crate) use many::run as run_many;

/// What is measured of each contestant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    Cold,
    Warm,
    Moved,
    Broken,
}

/// Some of the corpus, and what is done with it.
struct Part {
    percent: usize,
    /// With what is about images.
    companions: bool,
    rounds: &'static [Round],
}

/// Registries write their logs after they have answered.
const LAST_LINES: Duration = Duration::from_millis(300);

/// Keeps the corpus in step by each contestant, and lays out what that took.
///
/// # Errors
/// As [`measure`].
pub(crate) fn run(options: &Options) -> anyhow::Result<String> {
    stop::listen()?;
    let machine = Machine::look(&options.dir)?;
    let mut text = table::render(&machine, &measure(options)?);
    if let Some(folder) = &options.journals {
        text += &super::tapped(options, folder)?.told();
    }
    Ok(text)
}

/// Keeps the corpus in step by each contestant.
///
/// # Errors
/// When no registry can be started, or a signal ends the run. That a contestant fails or is absent
/// is told.
pub(crate) fn measure(options: &Options) -> anyhow::Result<Measured> {
    let own = options.tidegate()?;
    let (contestants, absent) = Contestant::syncing(own.as_deref(), &options.only)?;
    let mut measured = Measured {
        corpus: options.corpus.clone(),
        about: contestants.iter().map(About::of).collect(),
        absent,
        rounds: Vec::new(),
    };
    let runtime = super::runtime()?;
    for part in parts(options) {
        let some = contestants
            .iter()
            .filter(|one| !part.companions || one.brings_companions());
        let some: Vec<&Contestant> = some.collect();
        if some.is_empty() {
            continue;
        }
        let rounds = runtime.block_on(part.measure(&some, options))?;
        measured.rounds.extend(rounds);
    }
    runtime.shutdown_background();
    Ok(measured)
}

fn parts(options: &Options) -> Vec<Part> {
    let percent = options.most();
    let mut scales = options.scale.clone();
    scales.sort_unstable();
    scales.dedup();
    scales.pop();
    let mut parts = vec![Part {
        percent,
        companions: false,
        rounds: &[Round::Cold, Round::Warm, Round::Moved, Round::Broken],
    }];
    parts.extend(scales.into_iter().map(|percent| Part {
        percent,
        companions: false,
        rounds: &[Round::Cold],
    }));
    if !options.images_only {
        parts.push(Part {
            percent,
            companions: true,
            rounds: &[Round::Cold, Round::Warm],
        });
    }
    parts
}

impl Part {
    async fn measure(
        &self,
        contestants: &[&Contestant],
        options: &Options,
    ) -> anyhow::Result<Vec<super::Round>> {
        let world = World::start(options, self.percent, self.companions).await?;
        let rounds = self.rounds.iter();
        let mut told: Vec<_> = rounds
            .map(|round| self.tell(*round, &world, options))
            .collect();
        for iteration in 0..options.iterations {
            for turn in 0..contestants.len() {
                let contestant = contestants[(iteration + turn) % contestants.len()];
                self.once(contestant, (&world, options), &mut told).await?;
            }
        }
        Ok(told)
    }

    /// All rounds of one contestant. After one that could not be tried there is no next.
    async fn once(
        &self,
        contestant: &Contestant,
        (world, options): (&World, &Options),
        told: &mut [super::Round],
    ) -> anyhow::Result<()> {
        let mut scene = Scene::new(contestant, world, options).await?;
        for (round, told) in self.rounds.iter().zip(told) {
            stop::check()?;
            rustix::fs::sync();
            options.patience.await_quiet(None);
            if *round == Round::Broken {
                scene = Scene::new(contestant, world, options).await?;
            }
            let outcome = scene.round(*round).await;
            let is_end = outcome.is_err();
            told.add(contestant.name(), outcome)?;
            if is_end {
                break;
            }
        }
        Ok(())
    }

    /// A round without samples.
    fn tell(&self, round: Round, world: &World, options: &Options) -> super::Round {
        let is_scaled = self.percent < options.most();
        let (name, title) = match round {
            Round::Cold if is_scaled => ("scale", "Into an empty target"),
            Round::Cold => ("cold", "Into an empty target"),
            Round::Warm => ("warm", "Again, where all is there"),
            Round::Moved => ("partial", "After 5 % of the tags have moved"),
            Round::Broken => (
                "broken",
                "Broken off half-way, and run again: both runs together",
            ),
        };
        let (with, ends) = match self.companions {
            true => (" with referrers", ", with signatures and referrers"),
            false => ("", ""),
        };
        let scale = match self.percent {
            100 => String::new(),
            percent => format!(", {percent} % of the corpus"),
        };
        let mut told = super::Round::new(&format!("{title}{ends}{scale}"), world);
        told.name = format!("{name}{with}");
        told.percent = self.percent;
        told.lines = lines(self.least(round, world), &world.extent);
        told
    }

    /// The fewest requests at source and target, where that is known.
    fn least(&self, round: Round, world: &World) -> Option<[usize; 2]> {
        let Extent {
            blobs,
            manifests,
            tags,
            ..
        } = world.extent;
        match round {
            Round::Cold => Some([blobs + manifests, world.extent.least_requests()]),
            // What refers to an image may be new where the image is not: what it takes to know that
            // depends on the registry.
            Round::Warm if self.companions => None,
            Round::Warm => Some([tags, 0]),
            Round::Moved => Some(world.least_of_move),
            Round::Broken => None,
        }
    }
}

/// What is told of a round.
fn lines(least: Option<[usize; 2]>, extent: &Extent) -> Vec<Line> {
    let [source, target] = [0, 1].map(|at| least.map(|least| least[at]));
    let is_cold = target == Some(extent.least_requests());
    let cold = |count: usize| is_cold.then_some(count);
    vec![
        Line::new(("wall clock", "s"), 1, |it| it.effort.wall.as_secs_f64()),
        Line::new(("peak memory", "MiB"), 0, |it| it.effort.peak),
        Line::new(("CPU", "s"), 1, |it| it.effort.cpu),
        Line::count("source requests", |it| it.source.total() as f64).least(source),
        Line::count("- blob GET", |it| it.source.blob_gets as f64).least(cold(extent.blobs)),
        Line::count("target requests", |it| it.target.total() as f64).least(target),
        Line::count("- uploads", |it| it.target.finishes as f64).least(cold(extent.blobs)),
        Line::count("- mounts granted", |it| it.target.granted as f64).least(cold(extent.mounts())),
        Line::count("- blobs uploaded twice", |it| it.target.twice as f64),
        Line::count("images that are not in the target", |it| it.lacking as f64),
    ]
}

/// A contestant before its own target.
struct Scene<'a> {
    contestant: &'a Contestant,
    world: &'a World,
    stage: Stage,
    /// How many requests source and target had answered before.
    seen: [usize; 2],
}

impl<'a> Scene<'a> {
    async fn new(
        contestant: &'a Contestant,
        world: &'a World,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let stage = world.stage(&options.dir).await?;
        let mut scene = Self {
            contestant,
            world,
            stage,
            seen: [0; 2],
        };
        scene.asked().await;
        Ok(scene)
    }

    fn commands(&self) -> anyhow::Result<Vec<ProcessBuilder>> {
        self.contestant.commands(self.world, &self.stage)
    }

    async fn round(&mut self, round: Round) -> anyhow::Result<Outcome> {
        match round {
            Round::Cold | Round::Warm => self.once(None).await,
            Round::Moved => {
                let moved = self.world.move_some().await?;
                self.asked().await;
                let outcome = self.once(Some(&moved)).await;
                self.world.move_back().await?;
                outcome
            }
            Round::Broken => self.broken().await,
        }
    }

    /// One run to its end. Where tags have moved, these are to be where they point now.
    async fn once(
        &mut self,
        moved: Option<&[(String, String, String)]>,
    ) -> anyhow::Result<Outcome> {
        let effort = in_turn(self.commands()?, self.contestant.watch()).await?;
        let lacking = match moved {
            None => self.lacking(),
            Some(moved) => {
                let is_there = |(name, tag, digest): &&(String, String, String)| {
                    let there = self.stage.target.tag(&self.contestant.place(name), tag);
                    there.as_ref() == Some(digest)
                };
                moved.len() - moved.iter().filter(is_there).count()
            }
        };
        self.outcome(effort, lacking).await
    }

    /// Broken off by SIGINT when the target has answered half of what it must, and run again.
    async fn broken(&mut self) -> anyhow::Result<Outcome> {
        let start = Instant::now();
        let watch = self.contestant.watch();
        let half = self.world.extent.least_requests() / 2;
        let cut = Some((&self.stage.target, half));
        let mut first = in_turn(self.commands()?, Watch { cut, ..watch }).await?;
        let second = in_turn(self.commands()?, self.contestant.watch()).await?;
        first.wall = start.elapsed();
        first.cpu += second.cpu;
        first.peak = first.peak.max(second.peak);
        first.failure = second.failure;
        let lacking = self.lacking();
        self.outcome(first, lacking).await
    }

    fn lacking(&self) -> usize {
        self.world
            .lacking(&self.stage, |name| self.contestant.place(name))
    }

    async fn outcome(&mut self, effort: Effort, lacking: usize) -> anyhow::Result<Outcome> {
        let [source, target] = self.asked().await;
        Ok(Outcome {
            effort,
            source,
            target,
            lacking,
        })
    }

    /// What source and target were asked since the last look.
    async fn asked(&mut self) -> [Count; 2] {
        tokio::time::sleep(LAST_LINES).await;
        let registries: [&DockerRegistry; 2] = [&self.world.source, &self.stage.target];
        let logs: [Vec<Access>; 2] = registries.map(DockerRegistry::access);
        let counts = [0, 1].map(|at| Count::of(&logs[at][self.seen[at].min(logs[at].len())..]));
        self.seen = [logs[0].len(), logs[1].len()];
        counts
    }
}
