//! Who mirrors.

use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
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
            "skopeo",
            "regsync",
            "crane",
        ];
        if let Some(unknown) = wanted.iter().find(|it| !names.contains(&it.as_str())) {
            let names = names.join(", ");
            anyhow::bail!("there is no contestant '{unknown}'; there are: {names}");
        }
        let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
        let mut all = Vec::new();
        for name in names.into_iter().filter(|name| is_wanted(name)) {
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
            Self::Copy(_) | Self::Regsync(_) | Self::Crane(_) => format!("mirror/{name}"),
        }
    }

    /// Mirrors the corpus into the stage's target.
    ///
    /// # Errors
    /// When it can't be tried. Where it is tried and fails, the effort says so.
    pub(super) async fn mirror(&self, world: &World, stage: &Stage) -> anyhow::Result<Effort> {
        let place = |name: &str| self.place(name);
        match self {
            Self::Tidegate(program) => proxy::mirror(program, (world, stage)).await,
            Self::Restarted(program) => proxy::mirror_by_halves(program, (world, stage)).await,
            Self::Copy(program) => {
                let commands = tools::tidegate_copies(program, (world, stage), place)?;
                in_turn(commands).await
            }
            Self::Skopeo(program) => in_turn(vec![tools::skopeo(program, (world, stage))?]).await,
            Self::Regsync(program) => {
                in_turn(vec![tools::regsync(program, (world, stage), place)?]).await
            }
            Self::Crane(program) => in_turn(tools::cranes(program, (world, stage), place)).await,
        }
    }
}

/// Runs commands to their end, one after the other.
async fn in_turn(commands: Vec<ProcessBuilder>) -> anyhow::Result<Effort> {
    let mut effort = Effort::default();
    let (start, before) = (Instant::now(), tools::reaped()?);
    for command in commands {
        crate::stop::check()?;
        let mut process = command.spawn();
        let status = loop {
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
