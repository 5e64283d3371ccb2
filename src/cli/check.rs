use std::io;
use std::io::Write as _;
use std::path::Path;

use anyhow::anyhow;
use clap::Args;
use futures_util::future::join_all;
use serde::Serialize;

use super::exit::Exit;
use super::exit::Failure;
use super::print;
use super::probe;
use crate::app;
use crate::config::Config;
use crate::config::Source;
use crate::config::Upstream;
use crate::ledger::FlowId;
use crate::ledger::Journal;
use crate::ledger::Ledger;
use crate::login;
use crate::login::Login;
use crate::registry;
use crate::registry::Registry;

mod set;
mod target;

/// Arguments of `tidegate check`.
#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    /// Check the configuration and the store only
    #[arg(long)]
    offline: bool,
    /// Ask a running instance, on its admin listener, whether it is alive; nothing else
    #[arg(long, conflicts_with_all = ["offline", "json"])]
    running: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Serialize)]
struct Report {
    configuration: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logins: Vec<Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    journal: Option<Finding>,
    store: Finding,
    upstreams: Vec<Finding>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    targets: Vec<Finding>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sets: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    name: String,
    ok: bool,
    detail: String,
    /// What to do about it, where it is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
}

/// Runs `tidegate check`.
pub(super) async fn run(args: &CheckArgs, source: &Source) -> Result<Exit, Failure> {
    let config = source.load()?;
    if args.running {
        return running(&config).await;
    }
    let registries = config.upstreams.iter().map(client);
    let registries = registries.collect::<Result<Vec<_>, _>>()?;
    let logins = [
        login("login", config.front.login.as_ref()),
        login("admin_login", config.admin.login.as_ref()),
    ];
    let logins = logins.into_iter().filter_map(Result::transpose);
    let logins = logins.collect::<Result<Vec<_>, _>>();
    let logins = logins.map_err(Failure::misused)?;
    let journal = journal(&config).map_err(Failure::misused)?;
    let store = store(&config);
    let checks = config.targets.iter().map(|it| target::check(it, &config));
    let (upstreams, targets) = match args.offline {
        true => (Vec::new(), Vec::new()),
        false => {
            let upstreams = join_all(registries.iter().map(ping));
            futures_util::future::join(upstreams, join_all(checks)).await
        }
    };
    let targets = targets.into_iter().collect::<Result<_, _>>()?;
    let report = Report {
        configuration: source.to_string(),
        logins,
        journal,
        store,
        upstreams,
        targets,
        sets: config
            .prefetch
            .iter()
            .map(|it| set::check(it, &config))
            .collect(),
    };
    if args.json {
        print::json(&report)?;
    } else {
        let mut out = std::io::stdout().lock();
        writeln!(out, "ok      configuration: {}", report.configuration)?;
        let own = report.journal.iter().chain([&report.store]);
        let remote = report.upstreams.iter().chain(&report.targets);
        let remote = remote.chain(&report.sets);
        for finding in report.logins.iter().chain(own).chain(remote) {
            finding.write(&mut out)?;
        }
    }
    Ok(report.exit())
}

async fn running(config: &Config) -> Result<Exit, Failure> {
    match config.admin.listen {
        Some(address) if address.port() != 0 => {
            probe::healthz(address).await.map_err(Failure::nothing)?;
            Ok(Exit::Done)
        }
        _ => Err(Failure::misused(anyhow!(
            "server.admin has no fixed address, so that a running instance can't be asked"
        ))),
    }
}

/// Reads the files of users and tokens.
fn login(name: &str, config: Option<&login::Config>) -> io::Result<Option<Finding>> {
    let Some(config) = config else {
        return Ok(None);
    };
    let (users, tokens) = Login::load(config.clone())?.count();
    let certificates = if config.certificates {
        ", and client certificates"
    } else {
        ""
    };
    Ok(Some(Finding {
        name: name.to_owned(),
        ok: true,
        detail: format!("{users} users with passwords, {tokens} tokens{certificates}"),
        advice: None,
    }))
}

/// Whether the journal could be opened. A running instance may have it, and goes on.
fn journal(config: &Config) -> io::Result<Option<Finding>> {
    let Some(path) = &config.ledger.journal else {
        return Ok(None);
    };
    Journal::probe(path)?;
    Ok(Some(Finding {
        name: "journal".to_owned(),
        ok: true,
        detail: format!("{} can be written", path.display()),
        advice: None,
    }))
}

/// Writes a file where the store is, or would be, and removes it. The store itself stays closed:
/// a running instance may have it.
fn store(config: &Config) -> Finding {
    let path = &config.store.path;
    let there = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let folder = there.ancestors().find(|folder| folder.exists());
    let folder = folder.unwrap_or(Path::new("/"));
    let limit = match config.store.max_size {
        Some(bytes) => format!("{} at most", bytesize::ByteSize(bytes)),
        None => "no limit".to_owned(),
    };
    let kept = match config.store_enabled {
        true => "",
        false => "; enabled = false: it holds what is being fetched, and nothing is kept",
    };
    let (ok, detail) = match tempfile::tempfile_in(folder) {
        Ok(_) => {
            let there = there.display();
            (true, format!("{there} can be written, {limit}{kept}"))
        }
        Err(error) => (false, format!("{}: {error}", folder.display())),
    };
    Finding {
        name: "store".to_owned(),
        ok,
        detail,
        advice: (!ok).then_some("let the user who runs tidegate write there, or set store.path"),
    }
}

/// What the proxy would ask an upstream with.
fn client(upstream: &Upstream) -> Result<Registry, app::Error> {
    let mut config = upstream.registry.clone();
    let name = config.name.clone();
    // Whoever waits for a check wants to know how it is now.
    config.retries.attempts = config.retries.attempts.min(2);
    Registry::new(config, Ledger::new()).map_err(|error| app::Error::Upstream { name, error })
}

async fn ping(registry: &Registry) -> Finding {
    let url = &registry.config().url;
    let is_own = registry.config().credentials == registry::Credentials::Passthrough;
    let answer = match registry.acting_for(None) {
        Ok(nobody) if is_own => nobody.ping(FlowId::next()).await,
        _ => registry.ping(FlowId::next()).await,
    };
    let (ok, detail, advice) = match answer {
        Ok(()) => (true, format!("{url} answers and lets us in"), None),
        // To nobody, that is the right answer.
        Err(registry::Error::Refused { status: 401, .. }) if is_own => (
            true,
            format!("{url} answers, and clients sign in there"),
            None,
        ),
        Err(error) => (false, format!("{url}: {error}"), Some(advice(&error))),
    };
    Finding {
        name: registry.config().name.to_string(),
        ok,
        detail,
        advice,
    }
}

fn advice(error: &registry::Error) -> &'static str {
    match error {
        registry::Error::NotFound { .. }
        | registry::Error::Wrong(_)
        | registry::Error::Unsatisfiable => "is there a registry at this url?",
        registry::Error::Refused { .. } => "check `credentials` in its table",
        registry::Error::Throttled { .. } => "try again later, or sign in with `credentials`",
        registry::Error::Status { .. }
        | registry::Error::Content(_)
        | registry::Error::Restart(_)
        | registry::Error::BlobUnknown(_)
        | registry::Error::Invalid { .. } => "try again later, or ask whoever runs this registry",
        registry::Error::Unreachable(_) | registry::Error::TimedOut(_) => {
            "check `url`, the name's resolution and the way there; \
             for a private certificate authority set `ca`"
        }
        registry::Error::Config(_) => "check its keys in the configuration",
    }
}

impl Finding {
    fn write(&self, out: &mut impl std::io::Write) -> std::io::Result<()> {
        let word = if self.ok { "ok    " } else { "failed" };
        writeln!(out, "{word}  {}: {}", self.name, self.detail)?;
        match self.advice {
            Some(advice) => writeln!(out, "        {advice}"),
            None => Ok(()),
        }
    }
}

impl Report {
    fn exit(&self) -> Exit {
        let remote = || self.upstreams.iter().chain(&self.targets);
        let failed = remote().filter(|finding| !finding.ok).count();
        let none_answers = failed > 0 && failed == remote().count();
        if !self.store.ok || none_answers {
            Exit::Nothing
        } else if failed > 0 || self.sets.iter().any(|set| !set.ok) {
            Exit::Partly
        } else {
            Exit::Done
        }
    }
}
