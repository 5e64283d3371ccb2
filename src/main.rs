//! tidegate: parse, runtime, run.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use tidegate::cli::Cli;
use tidegate::cli::Exit;

/// How many threads may wait for disks and names at a time. More would not make disks faster, but
/// cost memory where many blobs come at once.
const BLOCKING: usize = 32;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let _logging = cli.start_logging();
    // One worker for each core is tokio's own choice.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING)
        .build();
    match runtime {
        Ok(runtime) => {
            let mut journal = None;
            let exit = runtime.block_on(cli.run(&mut journal));
            // What is being written to disk may end; a system call that hangs may not hold us.
            runtime.shutdown_timeout(Duration::from_secs(1));
            if let Some(journal) = journal {
                journal.close();
            }
            exit.into()
        }
        Err(error) => {
            eprintln!("error: no threads to work with: {error}");
            Exit::Nothing.into()
        }
    }
}
