//! The corpus kept in step with its source: into an empty target, again, after some tags moved, and
//! broken off half-way and gone on with.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use fake_registry::Access;
use fake_registry::DockerRegistry;
use fake_registry::ProcessBuilder;

use super::Count;
use super::Effort;
use super::Options;
use super::Outcome;
use super::contestant::Contestant;
use super::contestant::Cut;
use super::contestant::in_turn;
use super::world::Stage;
use super::world::World;
use crate::machine::Machine;
use crate::measure;
use crate::stop;

mod many;
mod table;

pub(crate) use many::Options as ManyOptions;
pub(crate) use many::run as run_many;

/// What is measured of each contestant, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    Cold,
    Warm,
    Moved,
    Broken,
}

const ROUNDS: [Round; 4] = [Round::Cold, Round::Warm, Round::Moved, Round::Broken];
/// Registries write their logs after they have answered.
const LAST_LINES: Duration = Duration::from_millis(300);

/// Keeps the corpus in step by each contestant, and lays out what that took.
///
/// # Errors
/// When no registry can be started, or a signal ends the run. That a contestant fails is told in
/// the table.
pub(crate) fn run(options: &Options) -> anyhow::Result<String> {
    stop::listen()?;
    let machine = Machine::look(&options.dir)?;
    let contestants = Contestant::syncing(super::tidegate(options)?, &options.only)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let world = runtime.block_on(World::start(options))?;
    let mut all: Vec<[Vec<Outcome>; 4]> = vec![Default::default(); contestants.len()];
    for iteration in 0..options.iterations {
        for turn in 0..contestants.len() {
            let at = (iteration + turn) % contestants.len();
            let contestant = &contestants[at];
            let outcomes = runtime
                .block_on(rounds(contestant, &world, options))
                .with_context(|| contestant.name())?;
            for (round, outcome) in outcomes.into_iter().enumerate() {
                let line = super::table::line(contestant.name(), &outcome);
                eprintln!("{:?}, {line}", ROUNDS[round]);
                all[at][round].push(outcome);
            }
        }
    }
    runtime.shutdown_background();
    Ok(table::render(&machine, &world.extent, (&contestants, &all)))
}

async fn rounds(
    contestant: &Contestant,
    world: &World,
    options: &Options,
) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    let mut scene = Scene::new(contestant, world, options).await?;
    for round in ROUNDS {
        stop::check()?;
        rustix::fs::sync();
        measure::await_quiet(None, Duration::from_secs(options.patience));
        outcomes.push(match round {
            Round::Cold | Round::Warm => scene.once(None).await?,
            Round::Moved => {
                let moved = world.move_some().await?;
                scene.asked().await;
                let outcome = scene.once(Some(&moved)).await;
                world.move_back().await?;
                outcome?
            }
            Round::Broken => {
                scene = Scene::new(contestant, world, options).await?;
                scene.broken().await?
            }
        });
    }
    Ok(outcomes)
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
        let commands = self.contestant.commands(self.world, &self.stage)?;
        commands.context("it is no command")
    }

    /// One run to its end. Where tags have moved, these are to be where they point now.
    async fn once(
        &mut self,
        moved: Option<&[(String, String, String)]>,
    ) -> anyhow::Result<Outcome> {
        let effort = in_turn(self.commands()?, None).await?;
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
        let cut = Cut {
            target: &self.stage.target,
            answered: self.world.extent.least_requests() / 2,
        };
        let mut first = in_turn(self.commands()?, Some(cut)).await?;
        let second = in_turn(self.commands()?, None).await?;
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
