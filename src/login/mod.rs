//! Who may come in: user names with passwords, bearer tokens, client certificates; and what each
//! of them may pull.
//!
//! A wrong password costs as long as a right one, whether there is such a user or not, and is
//! rate limited by address and by name. bcrypt runs on the blocking pool, few at a time; what was
//! found right is remembered for a short time by a keyed hash, so that not every request pays for
//! it. No hash, password or token is ever printed.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use http::header;

use crate::files::Followed;

mod access;
mod certificate;
mod header_value;
mod htpasswd;
mod limits;
mod memory;
mod proof;
mod register;
mod token;

pub use access::Access;
pub use access::Rule;
pub use certificate::name_of;
pub use limits::one_client;

use header_value::Credentials;
use limits::Limits;
use memory::Memory;
use proof::Prover;
use register::Register;

/// How people log in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// A file of users with bcrypt hashes, as `htpasswd -B` writes it.
    pub htpasswd: Option<PathBuf>,
    /// A file of tokens: `name:token`, or `name:sha256:` and the token's digest, a line.
    pub tokens: Option<PathBuf>,
    /// Whether a client certificate of the listener's authority is a login.
    pub certificates: bool,
}

/// Who has logged in. All ways to log in share the names.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct User(Arc<str>);

/// Why somebody isn't let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No login was sent.
    Missing,
    /// There is no such user, or the password or token is wrong.
    Wrong,
    /// Too many were wrong; ask again after this time.
    Throttled(Duration),
}

/// How many weren't let in, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// They sent no login. Many clients begin so, to be told how to log in.
    pub missing: u64,
    /// There is no such user, or the password or token was wrong.
    pub wrong: u64,
    /// Too many had been wrong.
    pub throttled: u64,
}

/// Knows who may come in.
#[derive(Debug)]
pub struct Login {
    config: Config,
    register: Followed<Register>,
    memory: Memory,
    limits: Limits,
    prover: Prover,
    missing: AtomicU64,
    wrong: AtomicU64,
    throttled: AtomicU64,
}

impl Config {
    /// Whether requests must, or may, bring a login in their `Authorization` header.
    pub fn by_header(&self) -> bool {
        self.htpasswd.is_some() || self.tokens.is_some()
    }
}

impl Login {
    /// Reads the files.
    ///
    /// # Errors
    /// When one can't be read, or has a line that is no user or token: file and line are named.
    pub fn load(config: Config) -> io::Result<Self> {
        let paths = [&config.htpasswd, &config.tokens];
        let paths = paths.into_iter().flatten().cloned().collect();
        let files = config.clone();
        let register = Followed::new("logins", paths, move || {
            Register::read(files.htpasswd.as_deref(), files.tokens.as_deref()).map(Arc::new)
        })?;
        Ok(Self {
            config,
            register,
            memory: Memory::new()?,
            limits: Limits::default(),
            prover: Prover::default(),
            missing: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
        })
    }

    /// How people log in.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How many users with passwords there are, and how many tokens.
    pub fn count(&self) -> (usize, usize) {
        self.register.current().count()
    }

    /// How many weren't let in.
    pub fn refused(&self) -> Refused {
        Refused {
            missing: self.missing.load(Ordering::Relaxed),
            wrong: self.wrong.load(Ordering::Relaxed),
            throttled: self.throttled.load(Ordering::Relaxed),
        }
    }

    /// Who sent these headers from `client`. Dropping the future takes back nothing: what was
    /// tried counts as tried.
    ///
    /// # Errors
    /// When it is nobody who may come in.
    pub async fn admit(&self, headers: &HeaderMap, client: IpAddr) -> Result<User, Refusal> {
        let admitted = self.recognize(headers, client).await;
        if let Err(refusal) = &admitted {
            let count = match refusal {
                Refusal::Missing => &self.missing,
                Refusal::Wrong => &self.wrong,
                Refusal::Throttled(_) => &self.throttled,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    async fn recognize(&self, headers: &HeaderMap, client: IpAddr) -> Result<User, Refusal> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = values.next().ok_or(Refusal::Missing)?;
        let credentials = match values.next() {
            None => Credentials::parse(value.as_bytes()),
            Some(_) => None,
        };
        let register = self.register.current();
        match credentials {
            Some(Credentials::Basic { name, password }) => {
                let attempt = Attempt {
                    key: self.memory.key(value.as_bytes()),
                    client,
                    name,
                    password,
                };
                self.by_password(register, attempt).await
            }
            Some(Credentials::Bearer(token)) => self.by_token(&register, &token, client),
            None => {
                self.limits.take(client, None).map_err(Refusal::Throttled)?;
                Err(Refusal::Wrong)
            }
        }
    }

    fn by_token(&self, register: &Register, token: &[u8], client: IpAddr) -> Result<User, Refusal> {
        let chance = self.limits.take(client, None).map_err(Refusal::Throttled)?;
        match register.bearer(token) {
            Some(user) => {
                chance.give_back();
                Ok(user)
            }
            None => {
                tracing::warn!(%client, "refused a login: there is no such token");
                Err(Refusal::Wrong)
            }
        }
    }

    async fn by_password(&self, register: Arc<Register>, try_: Attempt) -> Result<User, Refusal> {
        if let Some(user) = self.memory.recall(&try_.key, &register) {
            return Ok(user);
        }
        let name = self.memory.key(try_.name.as_bytes());
        // Whoever has no chance left need not queue for it.
        self.limits
            .peek(try_.client, Some(&name))
            .map_err(Refusal::Throttled)?;
        let turn = self.prover.turn().await.map_err(Refusal::Throttled)?;
        // Another request with the same login may have been first.
        if let Some(user) = self.memory.recall(&try_.key, &register) {
            return Ok(user);
        }
        let chance = self.limits.take(try_.client, Some(&name));
        let chance = chance.map_err(Refusal::Throttled)?;
        let (key, client) = (try_.key, try_.client);
        let known = register.knows(&try_.name).then(|| try_.name.clone());
        let seed = name[0];
        let work = move || register.password(&try_.name, &try_.password, seed);
        match turn.prove(work).await {
            Some(proven) => {
                chance.give_back();
                Ok(self.memory.remember(key, proven))
            }
            None => {
                let user = known.as_deref().unwrap_or("(unknown)");
                tracing::warn!(%client, user, "refused a login: wrong user or password");
                Err(Refusal::Wrong)
            }
        }
    }
}

/// A password that somebody sent.
struct Attempt {
    key: memory::Key,
    client: IpAddr,
    name: String,
    password: Vec<u8>,
}

impl User {
    /// A user of this name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, to share.
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
