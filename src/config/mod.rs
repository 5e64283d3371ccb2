//! From `proxy.toml` to each floor's own `Config`: the only place that knows them all.
//!
//! An error names the file, the line and the key. What a variable or a secret holds is in none.

use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize as _;
use toml::de::DeTable;

use crate::admin;
use crate::flow;
use crate::flow::OnDisconnect;
use crate::front;
use crate::ledger;
use crate::ledger::Rotation;
use crate::login::Access;
use crate::prefetch::Set;
use crate::store;
use crate::target as mirror;

mod credentials;
mod error;
mod expand;
mod file;
mod login;
mod place;
mod prefetch;
mod target;
mod upstream;
mod value;

pub use error::Error;
use file::File;
use place::Flaw;
pub use upstream::Upstream;

const PORT: u16 = 5000;
const ADMIN_PORT: u16 = 5001;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(25);
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE_TIMEOUT: Duration = Duration::from_secs(2 * 60);
const MAX_CONNECTIONS: usize = 10_000;
const MAX_CONNECTIONS_PER_CLIENT: usize = 2_000;
const MAX_STREAMS: u32 = 100;
const INTERCEPT_CA: &str = "tidegate-ca";
const STORE_PATH: &str = "tidegate-data";
const STORE_SIZE: u64 = 50 << 30;
const NEGATIVE_TTL: Duration = Duration::from_secs(30);

/// All that tidegate is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The listener for clients.
    pub front: front::Config,
    /// The listener for whoever runs it.
    pub admin: admin::Config,
    /// The embedded store.
    pub store: store::Config,
    /// Whether it keeps what is pulled. Where not, it is the place of what is being fetched.
    pub store_enabled: bool,
    /// Where the books are kept.
    pub ledger: ledger::Config,
    /// What holds for all upstreams.
    pub flow: flow::Config,
    /// The registries that are mirrored, in the file's order.
    pub upstreams: Vec<Upstream>,
    /// The registries that are mirrored into, in the file's order.
    pub targets: Vec<mirror::Config>,
    /// What is kept warm, in the file's order.
    pub prefetch: Vec<Set>,
    /// How long exchanges that are under way may take to end after the first signal.
    pub drain_timeout: Duration,
}

/// Where the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Nowhere: all keys have their defaults.
    BuiltIn,
}

impl Source {
    /// `file`; without one, `proxy.toml` in the current folder where it exists.
    pub fn choose(file: Option<PathBuf>) -> Self {
        let usual = || Some(PathBuf::from("proxy.toml")).filter(|path| path.exists());
        file.or_else(usual).map_or(Self::BuiltIn, Self::File)
    }

    /// Reads it.
    ///
    /// # Errors
    /// When the file can't be read, or is wrong.
    pub fn load(&self) -> Result<Config, Error> {
        let environment = |name: &str| std::env::var(name).ok();
        match self {
            Self::BuiltIn => read("", Path::new(""), &environment),
            Self::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
                    path: path.clone(),
                    source: Arc::new(source),
                })?;
                read(&text, path, &environment)
            }
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::BuiltIn => f.write_str("built-in defaults (there is no proxy.toml here)"),
        }
    }
}

/// Reads `text`, which stands in the file `path`.
fn read(text: &str, path: &Path, environment: expand::Environment<'_>) -> Result<Config, Error> {
    let mut tree =
        DeTable::parse(text).map_err(|error| broken(&error, text).placed(path, text, None))?;
    let original = tree.clone();
    let placed = |flaw: Flaw| flaw.placed(path, text, Some(original.get_ref()));
    expand::table(tree.get_mut(), environment).map_err(placed)?;
    let file = File::deserialize(toml::de::Deserializer::from(tree));
    let file = file.map_err(|error| placed(flaw(&error)))?;
    build(file, path.parent().unwrap_or(path)).map_err(placed)
}

fn flaw(error: &toml::de::Error) -> Flaw {
    let problem = error::plainly(error.message());
    Flaw::new(error.span().unwrap_or(0..0), problem)
}

/// What is no TOML has no key to be named by, but a key that is there twice has.
fn broken(error: &toml::de::Error, text: &str) -> Flaw {
    let span = error.span().unwrap_or(0..0);
    match text.get(span.clone()) {
        Some(key) if error.message() == "duplicate key" => {
            Flaw::new(span, format!("the key {key} is here twice"))
        }
        _ => flaw(error),
    }
}

/// Gives each floor its own; paths are relative to `folder`.
fn build(file: File, folder: &Path) -> Result<Config, Flaw> {
    let (upstreams, default_upstream) = upstream::all(file.upstream, &file.defaults, folder)?;
    let targets = target::all(file.target, &file.defaults, &upstreams, folder)?;
    let store_enabled = file.store.enabled.unwrap_or(true);
    let registries = prefetch::Registries {
        upstreams: &upstreams,
        targets: &targets,
        has_store: store_enabled,
    };
    let prefetch = prefetch::all(file.prefetch, registries, folder)?;
    let defaults = file.defaults;
    let mut front = front(&file.server, folder)?;
    if let (Some(login), Some(config)) = (&file.server.login, &front.login) {
        login::refuse_two_logins(login, config, &upstreams)?;
    }
    let users_have_names = front.login.is_some() || client_ca(&file.server).is_some();
    front.access = login::access(file.access, users_have_names, &upstreams)?;
    front.default_upstream = default_upstream;
    front.intercepted = upstream::hosts(&upstreams);
    let has_access_rules = !front.access.is_open();
    Ok(Config {
        admin: admin(&file.server, folder)?,
        drain_timeout: file.server.drain_timeout.map_or(DRAIN_TIMEOUT, |ttl| ttl.0),
        front,
        store_enabled,
        store: store(file.store, folder),
        ledger: ledger(file.ledger, folder),
        flow: flow::Config {
            negative_ttl: defaults.negative_ttl.map_or(NEGATIVE_TTL, |ttl| ttl.0),
            on_disconnect: defaults
                .on_disconnect
                .map_or(OnDisconnect::Finish, |word| word.0),
            has_access_rules,
        },
        upstreams,
        targets,
        prefetch,
    })
}

fn admin(server: &file::Server, folder: &Path) -> Result<admin::Config, Flaw> {
    let login = server.admin_login.as_ref();
    Ok(admin::Config {
        listen: match server.admin {
            Some(switch) => switch.0,
            None => Some(loopback(ADMIN_PORT)),
        },
        login: login.map(|login| login::admin(login, folder)).transpose()?,
    })
}

/// The front's, without what depends on the upstreams.
fn front(server: &file::Server, folder: &Path) -> Result<front::Config, Flaw> {
    let listen = match &server.listen {
        Some(list) if list.get_ref().0.is_empty() => {
            return Err(Flaw::at(
                list,
                "the list is empty; write one address at least",
            ));
        }
        Some(list) => list.get_ref().0.iter().map(|one| one.0).collect(),
        None => vec![loopback(PORT)],
    };
    let has_client_ca = client_ca(server).is_some();
    let login = server.login.as_ref();
    let count = |key: Option<value::Count>, usual: usize| key.map_or(usual, |count| count.0);
    Ok(front::Config {
        listen,
        tls: server.tls.as_ref().map(|tls| front::Tls {
            cert: folder.join(&tls.cert),
            key: folder.join(&tls.key),
            client_ca: tls.client_ca.as_ref().map(|path| folder.join(path)),
        }),
        header_timeout: server.header_timeout.map_or(HEADER_TIMEOUT, |wait| wait.0),
        idle_timeout: server.idle_timeout.map_or(IDLE_TIMEOUT, |wait| wait.0),
        max_connections: count(server.max_connections, MAX_CONNECTIONS),
        max_connections_per_client: count(
            server.max_connections_per_client,
            MAX_CONNECTIONS_PER_CLIENT,
        ),
        max_streams: server.max_streams.map_or(MAX_STREAMS, |count| {
            u32::try_from(count.0).unwrap_or(u32::MAX)
        }),
        login: login
            .map(|login| login::front(login, has_client_ca, folder))
            .transpose()?,
        default_upstream: None,
        intercept: server.intercept.map(|listen| front::Intercept {
            listen: listen.0,
            authority: folder.join(
                server
                    .intercept_ca
                    .as_deref()
                    .unwrap_or(INTERCEPT_CA.as_ref()),
            ),
        }),
        intercepted: front::Hosts::new(),
        access: Access::default(),
    })
}

fn client_ca(server: &file::Server) -> Option<&PathBuf> {
    server.tls.as_ref()?.client_ca.as_ref()
}

fn store(store: file::Store, folder: &Path) -> store::Config {
    let path = store.path.unwrap_or_else(|| STORE_PATH.into());
    store::Config {
        path: folder.join(path),
        max_size: store.max_size.map_or(Some(STORE_SIZE), |limit| limit.0),
    }
}

fn ledger(ledger: file::Ledger, folder: &Path) -> ledger::Config {
    let usual = Rotation::default();
    let max_size = ledger.journal_max_size;
    ledger::Config {
        journal: ledger.journal.map(|path| folder.join(path)),
        rotation: Rotation {
            max_size: max_size.map_or(usual.max_size, |limit| limit.0),
            files: ledger.journal_files.map_or(usual.files, |count| count.0),
        },
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[cfg(test)]
mod documented;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
