//! Logs, to stderr only. Whoever logs never waits for whoever reads: lines are handed to a thread
//! of their own, and dropped where it can't keep up.

use std::io::BufWriter;
use std::io::IsTerminal as _;

use clap::Args;
use clap::ValueEnum;
use tracing::Level;
use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How many lines may wait to be written; a few MB.
const WAITING_LINES: usize = 16 << 10;

/// What is logged, and how.
#[derive(Args, Clone, Debug)]
pub(super) struct LogArgs {
    /// How log lines are written
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    log_format: Format,
    /// Log more: the requests that are sent upstream; twice for the libraries too, thrice all of
    /// ours
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Log warnings and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A line for a person
    #[default]
    Text,
    /// A JSON object a line
    Json,
}

impl LogArgs {
    /// Whether log lines are JSON.
    pub(super) fn is_json(&self) -> bool {
        self.log_format == Format::Json
    }

    /// Whether only warnings and errors are wanted.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Starts logging, `sparsely` where nobody wants more. What is still on its way is written when the guard is dropped.
    pub(super) fn start(&self, sparsely: bool) -> WorkerGuard {
        // The thread flushes when it has nothing left to write: many lines are one system call.
        let stderr = BufWriter::with_capacity(64 << 10, std::io::stderr());
        let (writer, guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(WAITING_LINES)
            .finish(stderr);
        let lines = fmt::layer().with_writer(writer);
        let lines = match self.log_format {
            Format::Text => lines
                .with_ansi(wants_colour())
                .with_target(false)
                .compact()
                .boxed(),
            Format::Json => lines.json().flatten_event(true).boxed(),
        };
        tracing_subscriber::registry()
            .with(lines.with_filter(self.filter(sparsely)))
            .init();
        guard
    }

    fn filter(&self, sparsely: bool) -> Targets {
        let is_quiet = self.quiet || (sparsely && self.verbose == 0);
        let (ours, others) = match (is_quiet, self.verbose) {
            (true, _) => (Level::WARN, Level::WARN),
            (_, 0) => (Level::INFO, Level::WARN),
            (_, 1) => (Level::DEBUG, Level::INFO),
            (_, 2) => (Level::DEBUG, Level::DEBUG),
            // What HTTP libraries trace may hold headers, and these hold secrets.
            _ => (Level::TRACE, Level::DEBUG),
        };
        Targets::new()
            .with_default(others)
            .with_target("tidegate", ours)
    }
}

/// As <https://no-color.org> asks for.
fn wants_colour() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && std::io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(quiet: bool, verbose: u8) -> [bool; 5] {
        let log_format = Format::Text;
        let filter = LogArgs {
            log_format,
            verbose,
            quiet,
        }
        .filter(false);
        [
            filter.would_enable("tidegate::app", &Level::WARN),
            filter.would_enable("tidegate::access", &Level::INFO),
            filter.would_enable("tidegate::ledger", &Level::DEBUG),
            filter.would_enable("hyper", &Level::INFO),
            filter.would_enable("hyper", &Level::TRACE),
        ]
    }

    #[test]
    fn says_as_much_as_asked() {
        assert_eq!(logs(true, 0), [true, false, false, false, false]);
        assert_eq!(logs(false, 0), [true, true, false, false, false]);
        assert_eq!(logs(false, 1), [true, true, true, true, false]);
        assert_eq!(logs(false, 2), [true, true, true, true, false]);
        assert_eq!(logs(false, 9), [true, true, true, true, false]);
    }
}
