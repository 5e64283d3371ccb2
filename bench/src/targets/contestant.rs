//! Who mirrors.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use fake_registry::DockerRegistry;
use fake_registry::ProcessBuilder;

use super::Effort;
use super::proxy;
use super::world::Stage;
use super::world::World;
use crate::measure;
use crate::peers::Install;
use crate::peers::Job;
use crate::peers::Order;
use crate::peers::TOOLS;
use crate::peers::Tool;
use crate::report::Absent;

/// A way to mirror the corpus, on this machine.
#[derive(Clone, Debug)]
pub(super) struct Contestant {
    way: Way,
    program: PathBuf,
    version: String,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    /// `tidegate serve`: clients pull everything through it.
    Proxy,
    /// The same, ended and started again half-way.
    Restarted,
    /// A tool that does it by itself.
    Tool(&'static Tool),
}

/// How long one may take.
pub(super) const LIMIT: Duration = Duration::from_secs(600);
/// How often a tool is looked at.
const GLANCE: Duration = Duration::from_millis(5);

impl Way {
    /// All, in the order of the table's columns.
    fn all() -> Vec<Self> {
        let mut all = vec![Self::Proxy, Self::Restarted];
        all.extend(TOOLS.map(Self::Tool));
        all
    }

    /// What the command line calls it.
    fn asked(self) -> &'static str {
        match self {
            Self::Proxy => "tidegate",
            Self::Restarted => "tidegate-restarted",
            Self::Tool(tool) => tool.asked,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Proxy => "tidegate",
            Self::Restarted => "tidegate, restarted half-way",
            Self::Tool(tool) => tool.name,
        }
    }

    fn keeps_in_step(self) -> bool {
        matches!(self, Self::Tool(tool) if tool.keeps_in_step)
    }

    fn on_this_machine(self, own: Option<&Path>) -> anyhow::Result<Contestant> {
        let (install, arguments) = match self {
            Self::Proxy | Self::Restarted => (&Install::Own, &["--version"][..]),
            Self::Tool(tool) => (&tool.install, tool.version),
        };
        let program = install.program(own)?;
        Ok(Contestant {
            way: self,
            version: install.version(&program, arguments)?,
            program,
        })
    }
}

impl Contestant {
    /// All that are here, of those that are `wanted`, of all where none is; and those that are not.
    ///
    /// # Errors
    /// When there is none of that name.
    pub(super) fn all(
        own: Option<&Path>,
        wanted: &[String],
    ) -> anyhow::Result<(Vec<Self>, Vec<Absent>)> {
        Self::of(Way::all(), own, wanted)
    }

    /// The same, of those that can be run again and again.
    ///
    /// # Errors
    /// When there is none of that name.
    pub(super) fn syncing(
        own: Option<&Path>,
        wanted: &[String],
    ) -> anyhow::Result<(Vec<Self>, Vec<Absent>)> {
        let mut ways = Way::all();
        ways.retain(|way| way.keeps_in_step());
        Self::of(ways, own, wanted)
    }

    fn of(
        ways: Vec<Way>,
        own: Option<&Path>,
        wanted: &[String],
    ) -> anyhow::Result<(Vec<Self>, Vec<Absent>)> {
        let names: Vec<&str> = ways.iter().map(|way| way.asked()).collect();
        if let Some(unknown) = wanted.iter().find(|it| !names.contains(&it.as_str())) {
            let names = names.join(", ");
            anyhow::bail!("there is no contestant '{unknown}'; there are: {names}");
        }
        let is_wanted = |way: &Way| wanted.is_empty() || wanted.iter().any(|it| it == way.asked());
        let (mut here, mut absent) = (Vec::new(), Vec::new());
        for way in ways.into_iter().filter(is_wanted) {
            match way.on_this_machine(own) {
                Ok(one) => here.push(one),
                Err(error) => {
                    eprintln!("{} is absent: {error:#}", way.name());
                    absent.push(Absent {
                        name: way.name().to_owned(),
                        why: format!("{error:#}"),
                    });
                }
            }
        }
        Ok((here, absent))
    }

    pub(super) fn name(&self) -> &'static str {
        self.way.name()
    }

    /// What the command line calls it: a file's name, too.
    pub(super) fn asked(&self) -> &'static str {
        self.way.asked()
    }

    /// What it is, and in which version.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// How it is run.
    pub(super) fn settings(&self) -> &'static str {
        match self.way {
            Way::Proxy => proxy::WAY,
            Way::Restarted => {
                "the same, ended by SIGTERM after the first half of the tags, and started again at once"
            }
            Way::Tool(tool) => tool.settings,
        }
    }

    /// What it can't do.
    pub(super) fn limits(&self) -> &'static str {
        match self.way {
            Way::Proxy | Way::Restarted => "none that is asked for here",
            Way::Tool(tool) => tool.limits,
        }
    }

    /// Whether it can bring signatures and referrers with the images.
    pub(super) fn brings_companions(&self) -> bool {
        matches!(self.way, Way::Tool(tool) if tool.referrers)
    }

    /// The repository of the target that `name` of the source is mirrored into.
    pub(super) fn place(&self, name: &str) -> String {
        match self.way {
            Way::Proxy | Way::Restarted => proxy::place(name),
            Way::Tool(tool) => (tool.place)(name),
        }
    }

    /// How a run of it is watched.
    pub(super) fn watch(&self) -> Watch<'static> {
        Watch {
            cut: None,
            with_children: matches!(self.way, Way::Tool(tool) if tool.starts_others),
        }
    }

    /// Mirrors the corpus into the stage's target.
    ///
    /// # Errors
    /// When it can't be tried. Where it is tried and fails, the effort says so.
    pub(super) async fn mirror(&self, world: &World, stage: &Stage) -> anyhow::Result<Effort> {
        match self.way {
            Way::Proxy => proxy::mirror(&self.program, (world, stage)).await,
            Way::Restarted => proxy::mirror_by_halves(&self.program, (world, stage)).await,
            Way::Tool(_) => in_turn(self.commands(world, stage)?, self.watch()).await,
        }
    }

    /// What is run, one after the other; nothing of what is no command.
    ///
    /// # Errors
    /// When a file that it needs can't be written.
    pub(super) fn commands(
        &self,
        world: &World,
        stage: &Stage,
    ) -> anyhow::Result<Vec<ProcessBuilder>> {
        let ca = world.pki.ca_file();
        let hosts = [world.source.host(), stage.target.host()];
        let jobs = self.jobs((world, stage), hosts, &ca)?;
        Ok(jobs.into_iter().map(Job::plain).collect())
    }

    /// The same by `tap`, a command up to its own command. The registries are told to be at other
    /// `hosts`, and another authority to vouch for them.
    ///
    /// # Errors
    /// When a file that it needs can't be written.
    pub(super) fn tapped(
        &self,
        (world, stage): (&World, &Stage),
        (hosts, ca): ([String; 2], &Path),
        tap: &[OsString],
    ) -> anyhow::Result<Vec<ProcessBuilder>> {
        let jobs = self.jobs((world, stage), hosts, ca)?;
        Ok(jobs.into_iter().map(|job| job.behind(tap)).collect())
    }

    fn jobs(
        &self,
        (world, stage): (&World, &Stage),
        [source, target]: [String; 2],
        ca: &Path,
    ) -> anyhow::Result<Vec<Job>> {
        let Way::Tool(tool) = self.way else {
            return Ok(Vec::new());
        };
        let order = Order {
            source,
            target,
            ca,
            folder: stage.folder.path(),
            images: &world.repositories,
            referrers: world.companions,
        };
        (tool.jobs)(&self.program, &order)
    }
}

/// How a run is watched.
#[derive(Clone, Copy, Default)]
pub(super) struct Watch<'a> {
    /// It is broken off when this registry has answered so many requests.
    pub(super) cut: Option<(&'a DockerRegistry, usize)>,
    /// What its children have in memory counts, too. That takes time of the machine to know.
    pub(super) with_children: bool,
}

/// Runs commands to their end, one after the other, or until they are cut.
pub(super) async fn in_turn(
    commands: Vec<ProcessBuilder>,
    watch: Watch<'_>,
) -> anyhow::Result<Effort> {
    let mut effort = Effort::default();
    let (start, before) = (Instant::now(), measure::reaped()?);
    for command in commands {
        crate::stop::check()?;
        let mut process = command.spawn();
        let mut is_cut = false;
        let status = loop {
            if let Some((target, answered)) = watch.cut
                && !is_cut
                && target.access().len() >= answered
            {
                process.interrupt();
                is_cut = true;
            }
            if watch.with_children {
                tokio::time::sleep(GLANCE * 4).await;
                effort.peak = effort.peak.max(measure::peak(process.pid()));
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
    effort.cpu = measure::reaped()? - before;
    Ok(effort)
}
