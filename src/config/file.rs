//! `proxy.toml`, key by key. `docs/configuration.md` explains each of them.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::credentials::Form;
pub(super) use super::prefetch::file::Prefetch;
use super::value::Address;
use super::value::Bandwidth;
use super::value::Called;
use super::value::Completeness;
use super::value::Count;
use super::value::Few;
use super::value::Leaving;
use super::value::Limit;
use super::value::Location;
use super::value::OneOrMore;
use super::value::Pace;
use super::value::Pattern;
use super::value::Switch;
use super::value::Template;
use super::value::Ttl;
use super::value::Wait;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) server: Server,
    #[serde(default)]
    pub(super) store: Store,
    #[serde(default)]
    pub(super) ledger: Ledger,
    #[serde(default)]
    pub(super) defaults: Defaults,
    #[serde(default)]
    pub(super) upstream: Vec<Upstream>,
    #[serde(default)]
    pub(super) access: Vec<Access>,
    #[serde(default)]
    pub(super) target: Vec<Target>,
    #[serde(default)]
    pub(super) prefetch: Vec<Prefetch>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    pub(super) listen: Option<Spanned<OneOrMore<Address>>>,
    pub(super) admin: Option<Switch>,
    pub(super) tls: Option<Tls>,
    pub(super) drain_timeout: Option<Ttl>,
    pub(super) header_timeout: Option<Wait>,
    pub(super) idle_timeout: Option<Wait>,
    pub(super) max_connections: Option<Count>,
    pub(super) max_connections_per_client: Option<Count>,
    pub(super) max_streams: Option<Count>,
    pub(super) login: Option<Spanned<Login>>,
    pub(super) admin_login: Option<Spanned<AdminLogin>>,
    pub(super) intercept: Option<Address>,
    pub(super) intercept_ca: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_ca: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    pub(super) htpasswd: Option<PathBuf>,
    pub(super) tokens: Option<PathBuf>,
    #[serde(default)]
    pub(super) certificates: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdminLogin {
    pub(super) htpasswd: Option<PathBuf>,
    pub(super) tokens: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Access {
    pub(super) who: Spanned<Vec<Spanned<Pattern>>>,
    pub(super) allow: Spanned<Vec<Spanned<Pattern>>>,
    pub(super) deny: Option<Spanned<Vec<Spanned<Pattern>>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Store {
    pub(super) enabled: Option<bool>,
    pub(super) path: Option<PathBuf>,
    pub(super) max_size: Option<Limit>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ledger {
    pub(super) journal: Option<PathBuf>,
    pub(super) journal_max_size: Option<Limit>,
    pub(super) journal_files: Option<Count>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Defaults {
    pub(super) tag_ttl: Option<Ttl>,
    pub(super) auth_ttl: Option<Ttl>,
    pub(super) negative_ttl: Option<Ttl>,
    pub(super) on_disconnect: Option<Leaving>,
    pub(super) connect_timeout: Option<Wait>,
    pub(super) header_timeout: Option<Wait>,
    pub(super) idle_timeout: Option<Wait>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Upstream {
    pub(super) name: Spanned<Called>,
    pub(super) url: Option<Spanned<Location>>,
    pub(super) default: Option<Spanned<bool>>,
    pub(super) credentials: Option<Form>,
    pub(super) ca: Option<PathBuf>,
    #[serde(default)]
    pub(super) plain_http: bool,
    #[serde(default)]
    pub(super) allow_private: bool,
    #[serde(default)]
    pub(super) allow: Vec<Pattern>,
    #[serde(default)]
    pub(super) deny: Vec<Pattern>,
    #[serde(default)]
    pub(super) fallback: Vec<Spanned<Location>>,
    pub(super) tag_ttl: Option<Ttl>,
    pub(super) auth_ttl: Option<Ttl>,
    pub(super) max_concurrent: Option<Count>,
    pub(super) parallel_ranges: Option<Few>,
    pub(super) connect_timeout: Option<Wait>,
    pub(super) header_timeout: Option<Wait>,
    pub(super) idle_timeout: Option<Wait>,
    pub(super) rate: Option<Pace>,
    pub(super) bandwidth: Option<Bandwidth>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    pub(super) name: Spanned<Called>,
    pub(super) url: Spanned<Location>,
    pub(super) repository: Option<Spanned<Template>>,
    pub(super) only: Option<Spanned<Vec<Spanned<Pattern>>>>,
    pub(super) credentials: Option<Spanned<Form>>,
    pub(super) ca: Option<PathBuf>,
    #[serde(default)]
    pub(super) plain_http: bool,
    #[serde(default)]
    pub(super) allow_private: bool,
    pub(super) max_concurrent: Option<Count>,
    pub(super) connect_timeout: Option<Wait>,
    pub(super) header_timeout: Option<Wait>,
    pub(super) idle_timeout: Option<Wait>,
    pub(super) complete: Option<Completeness>,
    #[serde(default)]
    pub(super) read: bool,
    pub(super) catalog_ttl: Option<Wait>,
    pub(super) rate: Option<Pace>,
    pub(super) bandwidth: Option<Bandwidth>,
}
