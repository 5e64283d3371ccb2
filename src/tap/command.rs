//! A command that runs with its traffic measured.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use nix::sys::resource::Usage;
use nix::sys::resource::UsageWho;
use nix::sys::resource::getrusage;
use nix::sys::time::TimeValLike as _;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::getpgrp;
use rustix::process::kill_process;
use rustix::termios::tcgetpgrp;
use tokio::process::Child;
use tokio::process::Command;
use tokio::signal::unix;
use tokio::signal::unix::SignalKind;

use super::environment::Environment;
use super::footprint::Watch;
use super::words;
use crate::ledger::Run;

/// Why a command did not run.
#[derive(Debug, thiserror::Error)]
#[error("can't run '{command}': {error}")]
pub struct NotRun {
    command: String,
    error: io::Error,
}

impl NotRun {
    /// The exit code that a shell has for this: 127 where there is no such command, else 126.
    pub fn exit_code(&self) -> u8 {
        match self.error.kind() {
            io::ErrorKind::NotFound => 127,
            _ => 126,
        }
    }
}

/// Runs `words`, a command and its arguments, in `environment`, to its end, however long that
/// takes. Standard input, output and error are its own, and signals are passed on to it.
///
/// # Errors
/// When it can't be started.
pub async fn run(words: &[OsString], environment: &Environment) -> Result<Run, NotRun> {
    let not_run = |error| NotRun {
        command: words
            .first()
            .map_or_else(String::new, |word| word.to_string_lossy().into_owned()),
        error,
    };
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| not_run(io::ErrorKind::InvalidInput.into()))?;
    let mut command = Command::new(program);
    command.args(arguments).envs(environment.set());
    for name in environment.removed() {
        command.env_remove(name);
    }
    let mut signals = Signals::listen().map_err(not_run)?;
    let before = usage();
    let (ts, started) = (SystemTime::now(), Instant::now());
    let mut child = command.spawn().map_err(not_run)?;
    let watch = child.id().map(Watch::start);
    let status = wait(&mut child, &mut signals).await.map_err(not_run)?;
    let duration = started.elapsed();
    let after = usage();
    let seen = watch.map(Watch::stop).unwrap_or_default();
    Ok(Run {
        ts,
        duration,
        command: words::without_secrets(words),
        exit_code: exit_code(status),
        cpu: cpu(&after).saturating_sub(cpu(&before)),
        peak_rss: seen.with_kernels(&after),
    })
}

async fn wait(child: &mut Child, signals: &mut Signals) -> io::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return status,
            signal = signals.next() => {
                // Nobody else waits for it, so the number is still its own.
                let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
                if let Some(pid) = pid {
                    let _ = kill_process(pid, signal);
                }
            }
        }
    }
}

/// As shells say it: 128 and the number of the signal that ended it.
fn exit_code(status: ExitStatus) -> i32 {
    let by_signal = status.signal().map(|signal| 128 + signal);
    status.code().or(by_signal).unwrap_or(1)
}

/// What our children took that were waited for, and theirs; `None` where the kernel doesn't say.
fn usage() -> Option<Usage> {
    getrusage(UsageWho::RUSAGE_CHILDREN).ok()
}

fn cpu(usage: &Option<Usage>) -> Duration {
    let micros = usage.map_or(0, |usage| {
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
    });
    Duration::from_micros(micros.unsigned_abs())
}

/// The signals that are passed on.
struct Signals {
    streams: Vec<(Signal, unix::Signal)>,
}

impl Signals {
    /// From now on they don't end us.
    fn listen() -> io::Result<Self> {
        let all = [
            (Signal::INT, SignalKind::interrupt()),
            (Signal::TERM, SignalKind::terminate()),
            (Signal::HUP, SignalKind::hangup()),
            (Signal::QUIT, SignalKind::quit()),
            (Signal::USR1, SignalKind::user_defined1()),
            (Signal::USR2, SignalKind::user_defined2()),
        ];
        let streams = all.into_iter().map(|(number, kind)| {
            let stream = unix::signal(kind)?;
            Ok((number, stream))
        });
        Ok(Self {
            streams: streams.collect::<io::Result<_>>()?,
        })
    }

    /// The next one that the command has not got already. Cancel-safe.
    async fn next(&mut self) -> Signal {
        loop {
            let all = self.streams.iter_mut().map(|(number, stream)| {
                let number = *number;
                Box::pin(async move {
                    stream.recv().await;
                    number
                })
            });
            let (signal, ..) = futures_util::future::select_all(all).await;
            let is_key = matches!(signal, Signal::INT | Signal::QUIT);
            if !(is_key && is_in_foreground()) {
                return signal;
            }
        }
    }
}

/// Whether a terminal's keys send signals to us: then they do to the command as well.
fn is_in_foreground() -> bool {
    let group = File::open("/dev/tty").and_then(|terminal| Ok(tcgetpgrp(&terminal)?));
    group.is_ok_and(|group| group == getpgrp())
}
