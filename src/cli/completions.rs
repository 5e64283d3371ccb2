use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;

/// Writes the completions of `shell` to stdout.
pub(super) fn run(shell: Shell) -> std::io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tidegate", &mut script);
    std::io::stdout().write_all(&script)
}
