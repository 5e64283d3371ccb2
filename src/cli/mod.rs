//! The command line, one file a command.
//!
//! Results go to stdout, logs and what is said beside them to stderr. [`Exit`] is the exit code.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use clap::Subcommand;
use tracing_appender::non_blocking::WorkerGuard;

use crate::config::Source;
use crate::ledger::Journal;

mod check;
mod client;
mod completions;
mod copy;
mod exit;
mod log;
mod print;
mod probe;
mod report;
mod running;
mod serve;
mod store;
mod sync;
mod tags;
mod tap;
mod target;

pub use exit::Exit;
use exit::Failure;

/// A transparent pull-through mirroring proxy for OCI registries
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// The configuration [default: proxy.toml in this folder, else built-in defaults]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    log: log::LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy
    ///
    /// SIGTERM and SIGINT end it, once what is under way is through (a second one at once);
    /// SIGHUP reads the configuration again.
    Serve,
    /// Bring the tags of prefetch sets to where they are kept, once
    ///
    /// Where a proxy runs with this configuration, it does the work, and this command watches it.
    Sync(sync::SyncArgs),
    /// Show which tags a set selects, or a filter would, and why the others are out
    ///
    /// Exit code 1: some of it could not be asked; 3: nothing could.
    Tags(tags::TagsArgs),
    /// Check the configuration, the store, and each upstream: whether it answers, and to whom
    Check(check::CheckArgs),
    /// Copy one image, with all that refers to it, between registries and files
    Copy(copy::CopyArgs),
    /// Print, or write, the configuration that makes a client pull through this proxy
    Client(client::ClientArgs),
    /// Look into the store, check it, and free room
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// See what is owed to targets, and forget what they are known to have
    #[command(subcommand)]
    Target(target::TargetCommand),
    /// Measure a tool: a proxy that counts all that passes through, and changes nothing
    Tap(tap::TapArgs),
    /// Sum journals up, side by side: a table, or a page with plots
    Report(report::ReportArgs),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// Starts logging. What is still on its way is written when the guard is dropped.
    pub fn start_logging(&self) -> WorkerGuard {
        // What is shown on a terminal is not to be torn by lines of a log.
        let shows = matches!(self.command, Command::Sync(_)) && sync::is_on_terminal();
        self.log.start(shows)
    }

    /// Runs the command, and says why it failed where it did. What `journal` holds then is to be
    /// closed after the last task's end: the records of what is cut then belong into it too.
    pub async fn run(self, journal: &mut Option<Arc<Journal>>) -> Exit {
        let source = Source::choose(self.config);
        let outcome = match &self.command {
            Command::Serve => serve::run(&source, journal).await,
            Command::Sync(args) => sync::run(args, &source, self.log.is_quiet()).await,
            Command::Tags(args) => tags::run(args, &source).await,
            Command::Check(args) => check::run(args, &source).await,
            Command::Copy(args) => copy::run(args, &source).await,
            Command::Client(args) => client::run(args, &source),
            Command::Store(command) => store::run(command, &source).await,
            Command::Target(command) => target::run(command, &source).await,
            Command::Tap(args) => tap::run(args).await,
            Command::Report(args) => report::run(args).await,
            Command::Completions { shell } => completions::run(*shell)
                .map(|()| Exit::Done)
                .map_err(Failure::from),
        };
        outcome.unwrap_or_else(|Failure { exit, error }| {
            let why = exit::in_full(&error);
            if self.log.is_json() {
                tracing::error!("{why}");
            } else {
                eprintln!("error: {why}");
            }
            exit
        })
    }
}
