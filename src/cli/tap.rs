//! `tidegate tap`: what a tool really asks, and what it moves.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::oneshot;

use super::exit::Exit;
use super::exit::Failure;
use crate::authority::Authority;
use crate::ledger::Journal;
use crate::ledger::Ledger;
use crate::ledger::Record;
use crate::ledger::Rotation;
use crate::ledger::Sink;
use crate::report;
use crate::report::Column;
use crate::report::Live;
use crate::tap;
use crate::tap::Environment;
use crate::tap::Tap;

/// The port without a command, so that it can be known beforehand.
const PORT: u16 = 3129;
/// How long what is under way may take when the command has ended, or a signal came.
const PATIENCE: Duration = Duration::from_secs(5);

/// Arguments of `tidegate tap`.
#[derive(Args, Clone, Debug)]
pub(super) struct TapArgs {
    /// Where to listen [default: 127.0.0.1:3129; with a command, any port of 127.0.0.1]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Write what is measured to a journal, as JSON lines, for `tidegate report`
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Authorities that vouch for origins, besides the system's (PEM)
    #[arg(long, value_name = "FILE")]
    upstream_ca: Option<PathBuf>,
    /// The folder of the tap's own certificate authority, which is made on first use
    /// [default: $XDG_STATE_HOME/tidegate/tap]
    #[arg(long, value_name = "DIR")]
    ca_dir: Option<PathBuf>,
    /// A command to run through the tap. Its exit code is passed on; the summary goes to stderr
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs `tidegate tap`.
pub(super) async fn run(args: &TapArgs) -> Result<Exit, Failure> {
    let journal = args.journal.as_deref();
    let journal = journal
        .map(|path| Journal::open(path, Rotation::NEVER))
        .transpose()
        .map_err(Failure::misused)?;
    let live = Arc::new(Live::default());
    let mut sinks: Vec<Arc<dyn Sink>> = vec![live.clone()];
    sinks.extend(journal.clone().map(|journal| journal as Arc<dyn Sink>));
    let authority = Authority::open(&args.authority()?).map_err(Failure::misused)?;
    let tap = Tap::bind(&args.config(), authority, Ledger::with(sinks)).await;
    let tap = tap.map_err(|error| match error.kind() {
        // A file that was named wrongly.
        ErrorKind::InvalidData => Failure::misused(error),
        _ => Failure::nothing(error),
    })?;
    warn_of_others(&tap);
    let exit = if args.command.is_empty() {
        until_signal(tap, &live).await
    } else {
        command(tap, args, (&live, journal.as_deref())).await
    };
    if let Some(journal) = journal {
        journal.close();
    }
    exit
}

impl TapArgs {
    fn config(&self) -> tap::Config {
        let port = if self.command.is_empty() { PORT } else { 0 };
        let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        tap::Config {
            listen: self.listen.unwrap_or(usual),
            upstream_ca: self.upstream_ca.clone(),
        }
    }

    /// The folder of the authority.
    fn authority(&self) -> Result<PathBuf, Failure> {
        self.ca_dir.clone().or_else(state_folder).ok_or_else(|| {
            let why = "there is no home folder to keep a certificate authority in; choose a folder \
                       with --ca-dir";
            Failure::misused(anyhow!(why))
        })
    }
}

/// By the XDG base directory specification; relative paths in it are none.
fn state_folder() -> Option<PathBuf> {
    let folder = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")))?;
    Some(state.join("tidegate/tap"))
}

fn warn_of_others(tap: &Tap) {
    let address = tap.local_addr().ok();
    if let Some(address) = address.filter(|address| !address.ip().is_loopback()) {
        tracing::warn!(
            "whoever reaches {address} can go on from here to wherever this machine can"
        );
    }
    if ["HTTPS_PROXY", "https_proxy"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
    {
        tracing::warn!(
            "the tap goes to origins itself: the proxy of its own environment is not used"
        );
    }
}

/// Passes on until SIGINT or SIGTERM.
async fn until_signal(tap: Tap, live: &Live) -> Result<Exit, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let address = tap.local_addr()?;
    tracing::info!("listening on http://{address}");
    tracing::info!(
        "set HTTP_PROXY and HTTPS_PROXY to http://{address}, and let tools trust {}",
        tap.authority().file().display()
    );
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    say_what_was_cut(tap.run(stop, PATIENCE).await);
    std::io::stdout().write_all(summary("tap", live).as_bytes())?;
    Ok(Exit::Done)
}

/// Runs the command, and says what it did.
async fn command(
    tap: Tap,
    args: &TapArgs,
    (live, journal): (&Live, Option<&Journal>),
) -> Result<Exit, Failure> {
    let environment = Environment::new(&tap).map_err(Failure::nothing)?;
    if let Ok(address) = tap.local_addr() {
        tracing::debug!("listening on http://{address}");
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async {
        let _ = stopped.await;
    };
    let tap = tokio::spawn(tap.run(stopped, PATIENCE));
    let ran = tap::run(&args.command, &environment).await;
    drop(stop);
    say_what_was_cut(tap.await.map_err(Failure::nothing)?);
    let run = match ran {
        Ok(run) => run,
        Err(error) => {
            // As a shell says it.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            return Ok(Exit::Command(error.exit_code()));
        }
    };
    let code = u8::try_from(run.exit_code).unwrap_or(u8::MAX);
    let name = run
        .command
        .first()
        .map_or("tap", |word| last_part(word))
        .to_owned();
    let record = Record::Run(run);
    live.note(&record);
    // Standard output is the command's.
    let _ = std::io::stderr().write_all(summary(&name, live).as_bytes());
    if let Some(journal) = journal {
        journal.note(record);
    }
    Ok(Exit::Command(code))
}

/// The table, without the meanings of its rows: `tidegate report` prints these.
fn summary(name: &str, live: &Live) -> String {
    let all = report::markdown(&[Column::of(name, live.summary())]);
    let table = all
        .split_once("\n## What the rows mean")
        .map(|(table, _)| table);
    format!("\n{}\n", table.unwrap_or(&all).trim_end())
}

/// A program's name, without its folder.
fn last_part(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn say_what_was_cut(connections: usize) {
    if connections > 0 {
        tracing::warn!("{connections} connections were still open, and were cut");
    }
}
