//! tidegate: parse, runtime, run.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use tidegate::cli::Cli;
use tidegate::cli::Exit;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let _logging = cli.start_logging();
    // One worker for each core is tokio's own choice.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(cli.run());
            // What is being written to disk may end; a system call that hangs may not hold us.
            runtime.shutdown_timeout(Duration::from_secs(1));
            exit.into()
        }
        Err(error) => {
            eprintln!("error: no threads to work with: {error}");
            Exit::Nothing.into()
        }
    }
}
