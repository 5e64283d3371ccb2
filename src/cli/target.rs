//! `tidegate target`: what is owed to targets and known of them; asked of the running proxy, else
//! looked up where it is kept.

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use clap::Args;
use clap::Subcommand;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;

use super::exit::Exit;
use super::exit::Failure;
use super::print;
use super::running::Running;
use crate::app;
use crate::config::Config;
use crate::config::Source;
use crate::oci::Name;
use crate::target::State;

mod kept;
mod table;

/// Commands of `tidegate target`.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum TargetCommand {
    /// Say how targets do: what is owed to them, and what was done
    Status {
        /// One target [default: all]
        name: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Forget what a target is known to have: it is found out again
    ///
    /// What is owed to it stays owed. For a target that is not configured any more, all is forgotten.
    Forget {
        /// The target
        name: String,
        /// One of its repositories, as it is called there [default: all]
        repository: Option<Name>,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Output {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What became of `forget`.
#[derive(Serialize)]
struct Forgotten {
    target: String,
    repository: Option<String>,
    forgotten: u64,
}

/// Runs `tidegate target`.
pub(super) async fn run(command: &TargetCommand, source: &Source) -> Result<Exit, Failure> {
    let config = source.load()?;
    match command {
        TargetCommand::Status { name, output } => {
            let mut status = status(&config).await?;
            if let Some(name) = name {
                only(&mut status, name)?;
            }
            output.print(&status, table::status)?;
        }
        TargetCommand::Forget {
            name,
            repository,
            output,
        } => {
            let forgotten = Forgotten {
                target: name.clone(),
                repository: repository.as_ref().map(ToString::to_string),
                forgotten: forget(&config, name, repository.as_ref()).await?,
            };
            output.print(&json!(forgotten), table::forgotten)?;
        }
    }
    Ok(Exit::Done)
}

/// How targets do, by the running proxy, or by what it left.
async fn status(config: &Config) -> Result<Value, Failure> {
    if let Some(running) = Running::find(config).await {
        let mut status = running.targets().await.map_err(Failure::nothing)?;
        status["running"] = true.into();
        return Ok(status);
    }
    let targets = with_state(config, kept::states).await?;
    let targets = targets.unwrap_or_else(|| kept::nothing(config));
    Ok(json!({"running": false, "targets": targets}))
}

/// Leaves the others out.
fn only(status: &mut Value, name: &str) -> Result<(), Failure> {
    let Some(targets) = status["targets"].as_array_mut() else {
        return Ok(());
    };
    let names = targets.iter().filter_map(|it| it["name"].as_str());
    let names: Vec<_> = names.map(ToOwned::to_owned).collect();
    targets.retain(|target| target["name"] == name);
    match targets.is_empty() {
        true => Err(unknown(name, &names)),
        false => Ok(()),
    }
}

fn unknown(name: &str, names: &[String]) -> Failure {
    Failure::misused(match names {
        [] => anyhow!("there are no targets: the configuration has no [[target]]"),
        names => anyhow!(
            "there is no target '{name}'; there are: {}",
            names.join(", ")
        ),
    })
}

async fn forget(config: &Config, name: &str, of: Option<&Name>) -> Result<u64, Failure> {
    let names: Vec<String> = config.targets.iter().map(kept::name).collect();
    let is_configured = names.iter().any(|known| known == name);
    if let Some(running) = Running::find(config).await {
        if !is_configured {
            return Err(unknown(name, &names));
        }
        return running.forget(name, of).await.map_err(Failure::nothing);
    }
    let (asked, of) = (name.to_owned(), of.cloned());
    let forgotten = with_state(config, move |state, config| {
        if let Some(target) = config.targets.iter().find(|it| kept::name(it) == asked) {
            let catalog = state.catalog(&asked, target.catalog_ttl);
            return catalog.forget(of.as_ref()).map(Some);
        }
        match state.targets().contains(&asked) {
            true => state.forget(&asked).map(Some),
            false => Ok(None),
        }
    });
    match forgotten.await?.transpose().map_err(Failure::nothing)? {
        Some(Some(forgotten)) => Ok(forgotten),
        _ if is_configured => Ok(0),
        _ => Err(unknown(name, &names)),
    }
}

/// What `what` says of what is kept; `None` where nothing is.
async fn with_state<T: Send + 'static>(
    config: &Config,
    what: impl FnOnce(&Arc<State>, &Config) -> T + Send + 'static,
) -> Result<Option<T>, Failure> {
    let (path, config) = (app::targets_file(config), config.clone());
    let look = move || {
        open(&path)?
            .map(|state| Ok(what(&state, &config)))
            .transpose()
    };
    tokio::task::spawn_blocking(look)
        .await
        .map_err(Failure::nothing)?
}

/// Nothing is made where there is nothing.
fn open(path: &Path) -> Result<Option<Arc<State>>, Failure> {
    if !path.exists() {
        return Ok(None);
    }
    State::open(path).map(Some).map_err(Failure::nothing)
}

impl Output {
    /// Prints `value` as JSON, or as `table` shows it.
    fn print(
        self,
        value: &Value,
        table: impl Fn(&Value, &mut dyn std::io::Write) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        match self.json {
            true => print::json(value),
            false => Ok(table(value, &mut std::io::stdout().lock())?),
        }
    }
}
