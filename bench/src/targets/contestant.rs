//! Who mirrors.

use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use fake_registry::DockerRegistry;
use fake_registry::ProcessBuilder;

use super::Effort;
use super::proxy;
use super::tools;
use super::world::Stage;
use super::world::World;

/// A way to mirror the corpus.
#[derive(Clone, Debug)]
pub(super) enum Contestant {
    /// `tidegate serve`: clients pull everything through it.
    Tidegate(PathBuf),
    /// The same, ended and started again half-way.
    Restarted(PathBuf),
    /// `tidegate copy`, once for each tag.
    Copy(PathBuf),
    /// `tidegate sync`.
    Sync(PathBuf),
    /// `skopeo sync`.
    Skopeo(PathBuf),
    /// `regsync once`.
    Regsync(PathBuf),
    /// `crane copy --all-tags`, once for each repository.
    Crane(PathBuf),
}

/// How long one may take.
pub(super) const LIMIT: Duration = Duration::from_secs(600);
/// How often a tool is looked at.
const GLANCE: Duration = Duration::from_millis(5);

impl Contestant {
    /// All that are there, of those that are `wanted`; where none is, of all. Says who is absent.
    pub(super) fn all(tidegate: Option<PathBuf>, wanted: &[String]) -> anyhow::Result<Vec<Self>> {
        let names = [
            "tidegate",
            "tidegate-restarted",
            "tidegate-copy",
            "tidegate-sync",
            "skopeo",
            "regsync",
            "crane",
        ];
        Self::of(&names, tidegate, wanted)
    }

    /// The same, of those that can be run again and again.
    pub(super) fn syncing(
        tidegate: Option<PathBuf>,
        wanted: &[String],
    ) -> anyhow::Result<Vec<Self>> {
        let names = ["tidegate-sync", "regsync", "skopeo", "crane"];
        Self::of(&names, tidegate, wanted)
    }

    fn of(
        names: &[&str],
        tidegate: Option<PathBuf>,
        wanted: &[String],
    ) -> anyhow::Result<Vec<Self>> {
        if let Some(unknown) = wanted.iter().find(|it| !names.contains(&it.as_str())) {
            let names = names.join(", ");
            anyhow::bail!("there is no contestant '{unknown}'; there are: {names}");
        }
        let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
        let mut all = Vec::new();
        for name in names.iter().copied().filter(|name| is_wanted(name)) {
            let program = match name {
                "skopeo" => tools::installed("skopeo", "apt-get install skopeo"),
                "regsync" | "crane" => tools::built(name),
                _ => tidegate
                    .clone()
                    .context("no tidegate is beside this program"),
            };
            match program {
                Ok(program) => all.push(Self::new(name, program)),
                Err(error) => eprintln!("{name} is absent: {error:#}"),
            }
        }
        Ok(all)
    }

    fn new(name: &str, program: PathBuf) -> Self {
        match name {
            "tidegate" => Self::Tidegate(program),
            "tidegate-restarted" => Self::Restarted(program),
            "tidegate-copy" => Self::Copy(program),
            "tidegate-sync" => Self::Sync(program),
            "skopeo" => Self::Skopeo(program),
            "regsync" => Self::Regsync(program),
            _ => Self::Crane(program),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Tidegate(_) => "tidegate",
            Self::Restarted(_) => "tidegate, restarted half-way",
            Self::Copy(_) => "tidegate copy",
            Self::Sync(_) => "tidegate sync",
            Self::Skopeo(_) => "skopeo sync",
            Self::Regsync(_) => "regsync",
            Self::Crane(_) => "crane",
        }
    }

    /// How it is run.
    pub(super) fn way(&self) -> String {
        match self {
            Self::Tidegate(_) => proxy::WAY.to_owned(),
            Self::Restarted(_) => "the same, ended by SIGTERM after the first half of the tags, \
                                   and started again at once"
                .to_owned(),
            Self::Copy(_) => "one process for each tag, one after the other, which knows nothing \
                              of those before; `--no-referrers`"
                .to_owned(),
            Self::Sync(_) => {
                "one process, one set with a file of references, `referrers = false`".to_owned()
            }
            Self::Skopeo(program) => {
                let version = tools::version(program, &["--version"]);
                format!("{version}; one process, one image after the other, `--all`")
            }
            Self::Regsync(program) => {
                let version = tools::version(program, &["version", "--format", "{{.VCSTag}}"]);
                format!("{version}; one process, `parallel: 4`, one entry for each repository")
            }
            Self::Crane(program) => {
                let version = tools::version(program, &["version"]);
                format!("{version}; one process for each repository, one after the other")
            }
        }
    }

    /// The repository of the target that `name` of the source is mirrored into.
    pub(super) fn place(&self, name: &str) -> String {
        match self {
            Self::Tidegate(_) | Self::Restarted(_) => proxy::place(name),
            // That is how skopeo calls it, whatever it is told.
            Self::Skopeo(_) => {
                let (_, last) = name.rsplit_once('/').unwrap_or(("", name));
                format!("mirror/{last}")
            }
            Self::Copy(_) | Self::Sync(_) | Self::Regsync(_) | Self::Crane(_) => {
                format!("mirror/{name}")
            }
        }
    }

    /// Mirrors the corpus into the stage's target.
    ///
    /// # Errors
    /// When it can't be tried. Where it is tried and fails, the effort says so.
    pub(super) async fn mirror(&self, world: &World, stage: &Stage) -> anyhow::Result<Effort> {
        match self {
            Self::Tidegate(program) => proxy::mirror(program, (world, stage)).await,
            Self::Restarted(program) => proxy::mirror_by_halves(program, (world, stage)).await,
            _ => {
                let commands = self.commands(world, stage)?;
                in_turn(commands.unwrap_or_default(), None).await
            }
        }
    }

    /// What is run, one after the other; `None` of what is no command.
    ///
    /// # Errors
    /// When a file that it needs can't be written.
    pub(super) fn commands(
        &self,
        world: &World,
        stage: &Stage,
    ) -> anyhow::Result<Option<Vec<ProcessBuilder>>> {
        let place = |name: &str| self.place(name);
        Ok(Some(match self {
            Self::Tidegate(_) | Self::Restarted(_) => return Ok(None),
            Self::Copy(program) => tools::tidegate_copies(program, (world, stage), place)?,
            Self::Sync(program) => vec![tools::tidegate_sync(program, (world, stage))?],
            Self::Skopeo(program) => vec![tools::skopeo(program, (world, stage))?],
            Self::Regsync(program) => vec![tools::regsync(program, (world, stage), place)?],
            Self::Crane(program) => tools::cranes(program, (world, stage), place),
        }))
    }
}

/// When a run is broken off.
#[derive(Clone, Copy)]
pub(super) struct Cut<'a> {
    /// When this registry
    pub(super) target: &'a DockerRegistry,
    /// has answered so many requests.
    pub(super) answered: usize,
}

/// Runs commands to their end, one after the other, or until they are cut.
pub(super) async fn in_turn(
    commands: Vec<ProcessBuilder>,
    cut: Option<Cut<'_>>,
) -> anyhow::Result<Effort> {
    let mut effort = Effort::default();
    let (start, before) = (Instant::now(), tools::reaped()?);
    for command in commands {
        crate::stop::check()?;
        let mut process = command.spawn();
        let mut is_cut = false;
        let status = loop {
            if let Some(cut) = cut
                && !is_cut
                && cut.target.access().len() >= cut.answered
            {
                process.interrupt();
                is_cut = true;
            }
            let peak = process.peak_rss() as f64 / f64::from(1 << 20);
            effort.peak = effort.peak.max(peak);
            if let Some(status) = process.exit_status() {
                break Some(status);
            }
            if start.elapsed() > LIMIT {
                break None;
            }
            tokio::time::sleep(GLANCE).await;
        };
        if is_cut {
            break;
        }
        if !status.is_some_and(|status| status.success()) {
            let said = process.stdout() + &process.stderr();
            let end = said.len().saturating_sub(600);
            let end = (end..said.len()).find(|at| said.is_char_boundary(*at));
            let said = said.get(end.unwrap_or(0)..).unwrap_or_default();
            let status = status.map_or("too slow".to_owned(), |it| it.to_string());
            effort.failure = Some(format!("{status}: {said}"));
        }
    }
    effort.wall = start.elapsed();
    effort.cpu = tools::reaped()? - before;
    Ok(effort)
}
