//! The same faults against tidegate and against docker-registry as a mirror: what a client sees,
//! and what the upstream is asked. The upstream is the scripted one of the tests.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context;

use crate::peers;
use crate::peers::Peer;
use crate::stop;

mod cases;
mod saw;
mod scene;
mod system;

use cases::Case;
use scene::Scene;
use system::Kind;

/// Which faults.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these (may be repeated, or joined with commas).
    #[arg(long, value_name = "FAULT", value_delimiter = ',')]
    only: Vec<String>,
    /// The tidegate to try [default: the release build, built first where run by cargo].
    #[arg(long, value_name = "PATH")]
    tidegate: Option<PathBuf>,
}

/// How a system did under a fault.
#[derive(Clone, Debug)]
struct Outcome {
    verdict: Verdict,
    /// What the client saw.
    client: String,
    /// What the upstream was asked.
    upstream: String,
}

/// What a user would say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// The right bytes, or an honest answer where there are none, at the least cost.
    Right,
    /// That as well, for more requests or bytes than needed.
    Costly,
    /// No right bytes where there could be, but nobody takes what came for them.
    Fails,
    /// The client waits until it gives up itself.
    Hangs,
    /// Wrong bytes that look complete, or content that is not the asker's.
    Wrong,
}

impl Verdict {
    fn text(self) -> &'static str {
        match self {
            Self::Right => "good",
            Self::Costly => "good, but costly",
            Self::Fails => "fails",
            Self::Hangs => "hangs",
            Self::Wrong => "WRONG",
        }
    }
}

/// Runs the faults and gives the table, in Markdown.
///
/// # Errors
/// When a system is missing, or a signal ends the run.
pub(crate) fn run(options: &Options) -> anyhow::Result<String> {
    stop::listen()?;
    let cases = chosen(&options.only)?;
    let tidegate = match &options.tidegate {
        Some(path) => path.clone(),
        None => peers::tidegate::find()?.context("no tidegate is beside this program")?,
    };
    // It is started in folders of its own.
    let tidegate = tidegate
        .canonicalize()
        .with_context(|| format!("{} is not there", tidegate.display()))?;
    // What does not come up is a result, told in the table.
    std::panic::set_hook(Box::new(|_| {}));
    let systems = [Kind::Distribution, Kind::Tidegate(tidegate.clone())];
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut versions = Peer::all(Some(tidegate));
    versions.retain(|peer| ["docker-registry", "tidegate"].contains(&peer.name()));
    let mut text = String::from("| fault |");
    for peer in &versions {
        let _ = write!(text, " {} |", peer.name());
    }
    text.push_str("\n|---|---|---|\n");
    for case in &cases {
        let _ = write!(text, "| **{}**: {} |", case.name, case.what);
        for kind in &systems {
            stop::check()?;
            let outcome = runtime.block_on(case.run(kind))?;
            let Outcome {
                verdict,
                client,
                upstream,
            } = outcome;
            let cell = format!("**{}**. {client}. Upstream: {upstream}", verdict.text());
            eprintln!("{} {}: {cell}", case.name, kind.name());
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text.push('\n');
    for peer in &versions {
        let _ = writeln!(text, "- {}: {}", peer.name(), peer.version()?);
    }
    Ok(text)
}

fn chosen(only: &[String]) -> anyhow::Result<Vec<Case>> {
    let mut all = cases::all();
    let names: Vec<_> = all.iter().map(|case| case.name).collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(&name.as_str())) {
        anyhow::bail!(
            "there is no fault '{unknown}'; there are: {}",
            names.join(", ")
        );
    }
    all.retain(|case| only.is_empty() || only.iter().any(|name| name == case.name));
    Ok(all)
}
