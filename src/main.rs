//! tidegate: parse, runtime, run.

use std::process::ExitCode;

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
            // What is still blocked in a system call must not hold the process.
            runtime.shutdown_background();
            exit.into()
        }
        Err(error) => {
            eprintln!("error: no threads to work with: {error}");
            Exit::Nothing.into()
        }
    }
}
