//! Each contestant once more, through the same tap: what it asked and moved, as a journal for
//! `tidegate report`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::ensure;
use fake_registry::Process;
use tidegate::report::Column;

use super::Contestant;
use super::Options;
use super::contestant::Watch;
use super::contestant::in_turn;
use super::relay::Relay;
use super::world::World;
use crate::peers;
use crate::report::Absent;
use crate::stop;

/// What was recorded.
#[derive(Clone, Debug)]
pub(crate) struct Tapped {
    /// Who was, and the journal of it.
    pub(crate) journals: Vec<(String, PathBuf)>,
    /// Who was not, or not to the end, and why.
    pub(crate) incomplete: Vec<Absent>,
    /// The page that holds them side by side, where there is any.
    pub(crate) page: Option<PathBuf>,
}

/// Mirrors the images of the corpus by each contestant in turn, into an empty target, through
/// `tidegate tap`. Writes into `folder` a journal for each, and `sync.html` with all of them.
///
/// # Errors
/// When there is no tidegate, no registry can be started, the folder can't be written, or a signal
/// ends the run. That a contestant fails or is absent is told.
pub(crate) fn tapped(options: &Options, folder: &Path) -> anyhow::Result<Tapped> {
    let own = peers::tidegate::wanted(options.tidegate.as_deref())?;
    let (contestants, absent) = Contestant::syncing(Some(&own), &options.only)?;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{} can't be made", folder.display()))?;
    let mut tapped = Tapped {
        journals: Vec::new(),
        incomplete: absent,
        page: None,
    };
    let runtime = super::runtime()?;
    let world = runtime.block_on(World::start(options, options.most(), false))?;
    for contestant in &contestants {
        stop::check()?;
        let journal = folder.join(format!("{}.jsonl", contestant.asked()));
        let place = (&world, options);
        let ended = runtime.block_on(once(contestant, place, (&own, &journal)));
        stop::check()?;
        let name = contestant.name().to_owned();
        if let Err(error) = ended {
            eprintln!("tapped, {name}: {error:#}");
            let why = format!("{error:#}");
            let name = name.clone();
            tapped.incomplete.push(Absent { name, why });
        }
        if journal.is_file() {
            tapped.journals.push((name, journal));
        }
    }
    runtime.shutdown_background();
    tapped.page = page(&tapped.journals, &folder.join("sync.html"))?;
    Ok(tapped)
}

async fn once(
    contestant: &Contestant,
    (world, options): (&World, &Options),
    (own, journal): (&Path, &Path),
) -> anyhow::Result<()> {
    // The tap adds to a journal that is there.
    if journal.exists() {
        std::fs::remove_file(journal)?;
    }
    let stage = world.stage(&options.dir).await?;
    let authority = stage.folder.path().join("tap");
    let tap = SocketAddr::from((Ipv4Addr::LOCALHOST, peers::free_port()?));
    let command = |journal: Option<&Path>| {
        let mut all: Vec<OsString> = vec![own.into(), "tap".into()];
        all.extend(["--listen".into(), tap.to_string().into()]);
        all.extend(["--ca-dir".into(), authority.clone().into()]);
        all.extend(["--upstream-ca".into(), world.pki.ca_file().into()]);
        if let Some(journal) = journal {
            all.extend(["--journal".into(), journal.into()]);
        }
        all.push("--".into());
        all
    };
    make_authority(command(None)).await?;
    let source = Relay::start(tap, world.source.host()).await?;
    let target = Relay::start(tap, stage.target.host()).await?;
    let hosts = [source.host.clone(), target.host.clone()];
    let ca = authority.join("ca.crt");
    let tap = command(Some(journal));
    let commands = contestant.tapped((world, &stage), (hosts, &ca), &tap)?;
    let effort = in_turn(commands, Watch::default()).await?;
    eprintln!(
        "tapped, {}: {:.1} s",
        contestant.name(),
        effort.wall.as_secs_f64()
    );
    if let Some(failure) = effort.failure {
        anyhow::bail!("{failure}");
    }
    let lacking = world.lacking(&stage, |name| contestant.place(name));
    ensure!(lacking == 0, "{lacking} images are not in the target");
    Ok(())
}

/// Has the tap make its authority, which tools are told of before it runs them.
async fn make_authority(mut tap: Vec<OsString>) -> anyhow::Result<()> {
    tap.push("true".into());
    let mut all = tap.into_iter();
    let program = all.next().unwrap_or_default();
    let made = in_turn(vec![Process::command(program).args(all)], Watch::default()).await?;
    match made.failure {
        Some(failure) => anyhow::bail!("the tap does not run: {failure}"),
        None => Ok(()),
    }
}

/// The page with all journals, as `tidegate report` writes it.
fn page(journals: &[(String, PathBuf)], file: &Path) -> anyhow::Result<Option<PathBuf>> {
    let mut columns = Vec::new();
    for (name, journal) in journals {
        let records = tidegate::report::read(journal, std::slice::from_ref(journal));
        let column = records.and_then(|records| Column::read(name, records, true));
        columns.push(column.with_context(|| journal.display().to_string())?);
    }
    if columns.is_empty() {
        return Ok(None);
    }
    std::fs::write(file, tidegate::report::html(&columns))
        .with_context(|| format!("{} can't be written", file.display()))?;
    Ok(Some(file.to_owned()))
}

impl Tapped {
    /// What there is, for who waits.
    pub(super) fn told(&self) -> String {
        let mut text = String::from("\nThrough the tap, once each:\n");
        for (name, journal) in &self.journals {
            let _ = writeln!(text, "- {name}: {}", journal.display());
        }
        for one in &self.incomplete {
            let _ = writeln!(text, "- {}: INCOMPLETE: {}", one.name, one.why);
        }
        if let Some(page) = &self.page {
            let _ = writeln!(text, "- all side by side: {}", page.display());
        }
        text
    }
}
