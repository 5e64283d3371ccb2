//! `tidegate store`: looks at the store from outside, beside a process that serves from it too.

use std::io::IsTerminal as _;
use std::io::Write as _;
use std::time::Duration;
use std::time::Instant;

use anyhow::anyhow;
use clap::Args;
use clap::Subcommand;
use serde::Serialize;

use super::exit::Exit;
use super::exit::Failure;
use super::exit::in_full;
use super::print;
use crate::config::Source;
use crate::store;
use crate::store::Config;
use crate::store::Progress;
use crate::store::gc;
use crate::store::inspect;
use crate::store::remove;
use crate::store::verify;

mod carry;
mod table;
mod what;

use what::What;

/// Commands of `tidegate store`.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// List repositories and tags
    Ls(Output),
    /// Say what takes the room
    Du(Output),
    /// Hash all that is stored, and follow all links
    Verify {
        /// Remove what is wrong: the next pull fetches it again
        #[arg(long)]
        repair: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Remove what no repository can open any more
    Gc(Output),
    /// Remove repositories, tags, manifests or blobs
    Rm {
        /// UPSTREAM/NAME, UPSTREAM/NAME:TAG, UPSTREAM/NAME@DIGEST, or DIGEST for all repositories
        #[arg(required = true, value_name = "WHAT")]
        what: Vec<What>,
        #[command(flatten)]
        output: Output,
    },
    /// Copy images, or all that sets select, out of the store
    Export(carry::ExportArgs),
    /// Copy an image, or all of an exported set, into the store
    Import(carry::ImportArgs),
}

#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Output {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `tidegate store`.
pub(super) async fn run(command: &StoreCommand, source: &Source) -> Result<Exit, Failure> {
    let config = source.load()?;
    if !config.store_enabled {
        return Err(Failure::misused(anyhow!(
            "{source}: [store] enabled = false: nothing is kept, so there is nothing to look at"
        )));
    }
    match command {
        StoreCommand::Export(args) => return carry::export(args, &config).await,
        StoreCommand::Import(args) => return carry::import(args, config.store).await,
        _ => {}
    }
    let config = config.store;
    let command = command.clone();
    tokio::task::spawn_blocking(move || command.run(&config))
        .await
        .map_err(Failure::nothing)?
}

impl StoreCommand {
    fn run(self, config: &Config) -> Result<Exit, Failure> {
        match self {
            Self::Ls(output) => output.print(&inspect::ls(config)?, table::repositories)?,
            Self::Du(output) => output.print(&inspect::du(config)?, table::usage)?,
            Self::Verify { repair, output } => {
                let report = verify::verify(config, repair, &mut meter("verifying"))?;
                output.print(&report, table::verified)?;
                if !report.is_sound() {
                    return Ok(Exit::Partly);
                }
            }
            Self::Gc(output) => {
                let report = gc::gc(config, &mut meter("collecting"))?;
                output.print(&report, table::collected)?;
            }
            Self::Rm { what, output } => return rm(config, &what, output),
            // These are done before.
            Self::Export(_) | Self::Import(_) => {}
        }
        Ok(Exit::Done)
    }
}

/// What became of one argument of `rm`.
#[derive(Serialize)]
struct Removed {
    what: String,
    #[serde(flatten)]
    report: Option<remove::Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn rm(config: &Config, what: &[What], output: Output) -> Result<Exit, Failure> {
    let one = |what: &What| {
        let (report, error) = match remove::rm(config, &what.what) {
            Ok(report) if report.is_empty() => (None, Some("there is no such thing".to_owned())),
            Ok(report) => (Some(report), None),
            Err(error) => (None, Some(in_full(&error.into()))),
        };
        Removed {
            what: what.text.clone(),
            report,
            error,
        }
    };
    let removed: Vec<Removed> = what.iter().map(one).collect();
    output.print(&removed, table::removed)?;
    let failed = removed.iter().filter(|one| one.error.is_some()).count();
    Ok(match failed {
        0 => Exit::Done,
        some if some < removed.len() => Exit::Partly,
        _ => Exit::Nothing,
    })
}

impl Output {
    /// Prints `value` as JSON, or as `table` shows it.
    fn print<T: Serialize + ?Sized>(
        self,
        value: &T,
        table: impl Fn(&T, &mut dyn std::io::Write) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        if self.json {
            print::json(value)
        } else {
            Ok(table(value, &mut std::io::stdout().lock())?)
        }
    }
}

/// Shows on a terminal how far a job is, a few times a second; nothing elsewhere.
fn meter(doing: &'static str) -> impl FnMut(Progress) {
    let shows = std::io::stderr().is_terminal();
    let mut last: Option<Instant> = None;
    move |Progress { done, total }| {
        let is_end = done >= total;
        let is_time = last.is_none_or(|last| last.elapsed() > Duration::from_millis(200));
        if shows && (is_time || (is_end && last.is_some())) {
            last = Some(Instant::now());
            let percent = (done * 100).checked_div(total).unwrap_or(100);
            let mut err = std::io::stderr().lock();
            let _ = write!(
                err,
                "\r{doing}: {percent} %{}",
                if is_end { "\n" } else { "" }
            );
            let _ = err.flush();
        }
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::nothing(error)
    }
}
