//! Who may come in, and what they may pull.

use std::path::Path;

use toml::Spanned;

use super::Upstream;
use super::file;
use super::place::Flaw;
use super::value::Pattern;
use crate::login::Access;
use crate::login::Config;
use crate::login::Rule;
use crate::registry::Credentials;

/// `server.login`; paths are relative to `folder`.
pub(super) fn front(
    login: &Spanned<file::Login>,
    has_client_ca: bool,
    folder: &Path,
) -> Result<Config, Flaw> {
    let keys = login.get_ref();
    let config = Config {
        htpasswd: keys.htpasswd.as_ref().map(|path| folder.join(path)),
        tokens: keys.tokens.as_ref().map(|path| folder.join(path)),
        certificates: keys.certificates,
    };
    if !config.by_header() && !config.certificates {
        return Err(Flaw::at(
            login,
            "nobody could log in; write `htpasswd`, `tokens` or `certificates = true`",
        ));
    }
    if config.certificates && !has_client_ca {
        return Err(Flaw::at(
            login,
            "`certificates` needs `tls.client_ca`, the authority whose certificates are meant",
        ));
    }
    Ok(config)
}

/// `server.admin_login`; paths are relative to `folder`.
pub(super) fn admin(login: &Spanned<file::AdminLogin>, folder: &Path) -> Result<Config, Flaw> {
    let keys = login.get_ref();
    let config = Config {
        htpasswd: keys.htpasswd.as_ref().map(|path| folder.join(path)),
        tokens: keys.tokens.as_ref().map(|path| folder.join(path)),
        certificates: false,
    };
    if config.by_header() {
        Ok(config)
    } else {
        Err(Flaw::at(
            login,
            "nobody could log in; write `htpasswd` or `tokens`",
        ))
    }
}

/// A request has one `Authorization` header: it can't be the login here and there.
pub(super) fn refuse_two_logins(
    login: &Spanned<file::Login>,
    config: &Config,
    upstreams: &[Upstream],
) -> Result<(), Flaw> {
    let passes = |upstream: &&Upstream| upstream.registry.credentials == Credentials::Passthrough;
    match upstreams.iter().find(passes) {
        Some(upstream) if config.by_header() => Err(Flaw::at(
            login,
            format!(
                "clients can't log in here by password or token and at {} with their own \
                 credentials, for requests carry one login; use `certificates = true` alone, or \
                 give that upstream other `credentials`",
                upstream.registry.name
            ),
        )),
        _ => Ok(()),
    }
}

/// All `[[access]]`, where users have names.
pub(super) fn access(
    tables: Vec<file::Access>,
    users_have_names: bool,
    upstreams: &[Upstream],
) -> Result<Access, Flaw> {
    if let Some(table) = tables.first().filter(|_| !users_have_names) {
        return Err(Flaw::at(
            &table.who,
            "users have no names without a login; set `server.login`, or `tls.client_ca`",
        ));
    }
    let mut rules = Vec::with_capacity(tables.len());
    for table in tables {
        for (list, key) in [(&table.who, "who"), (&table.allow, "allow")] {
            if list.get_ref().is_empty() {
                let problem = format!("the list is empty; for all, write {key} = [\"*\"]");
                return Err(Flaw::at(list, problem));
            }
        }
        for list in [Some(&table.allow), table.deny.as_ref()]
            .into_iter()
            .flatten()
        {
            for pattern in list.get_ref() {
                names_an_upstream(pattern.get_ref(), upstreams)
                    .map_err(|problem| Flaw::at(pattern, problem))?;
            }
        }
        rules.push(Rule {
            who: texts(&table.who),
            allow: texts(&table.allow),
            deny: table.deny.as_ref().map(texts).unwrap_or_default(),
        });
    }
    Access::new(rules).map_err(|error| Flaw::new(0..0, error.to_string()))
}

fn texts(list: &Spanned<Vec<Spanned<Pattern>>>) -> Vec<String> {
    let patterns = list.get_ref().iter();
    patterns
        .map(|pattern| pattern.get_ref().0.clone())
        .collect()
}

/// A pattern that nothing can match is a mistake that nobody would notice in `deny`.
pub(super) fn names_an_upstream(pattern: &Pattern, upstreams: &[Upstream]) -> Result<(), String> {
    let text = &pattern.0;
    let first = text.split('/').next().unwrap_or(text);
    if first.contains(['*', '?', '[', '{']) {
        return Ok(());
    }
    let is_upstream = upstreams
        .iter()
        .any(|upstream| upstream.registry.name.as_str() == first);
    if !is_upstream {
        return Err(format!(
            "no upstream is called {first}; a pattern begins with an upstream's name, as \
             \"docker.io/library/*\" does"
        ));
    }
    if first == text {
        return Err(format!("for all of this upstream write \"{text}/*\""));
    }
    Ok(())
}
