//! Not a relay: what a registry leads to (by a redirect, or as its token server) is dialled only
//! where a stranger may send us.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::PoisonError;

use http::Uri;
use url::Url;

use super::Config;
use super::address::Kind;

/// Which places one endpoint may make us dial. The configured ones always; others unless they are
/// at an address that is not public, and of a kind that the endpoint's own host is not at.
#[derive(Debug)]
pub(super) struct Guard {
    own: Option<Place>,
    configured: Vec<Place>,
    /// Whether anything goes.
    is_open: bool,
    /// The kinds of addresses at which a connection to the endpoint itself was made, TLS included:
    /// what a name server says of it proves nothing.
    kinds: Mutex<HashSet<Kind>>,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    host: String,
    port: u16,
}

/// A place that is not dialled.
#[derive(Debug, thiserror::Error)]
#[error(
    "it leads to {host}{}, {kind}, and the registry itself is not at such an address: not dialled; \
     if it is meant to lead there, set `allow_private = true` for this upstream",
    at(.host, .address)
)]
pub(super) struct Forbidden {
    host: String,
    address: IpAddr,
    kind: Kind,
}

impl Guard {
    /// For the endpoint of `config` that is at `base`.
    pub(super) fn new(config: &Config, base: &Url) -> Self {
        let configured = std::iter::once(&config.url).chain(&config.fallback);
        Self {
            own: Place::of_url(base),
            configured: configured.filter_map(Place::of_url).collect(),
            is_open: config.allow_private,
            kinds: Mutex::default(),
        }
    }

    /// Whether `uri` is where the configuration says, wherever that is.
    pub(super) fn is_configured(&self, uri: &Uri) -> bool {
        Place::of_uri(uri).is_some_and(|place| self.configured.contains(&place))
    }

    /// Takes note of a connection that was made for `uri`.
    pub(super) fn connected(&self, uri: &Uri, address: IpAddr) {
        if Place::of_uri(uri) == self.own {
            self.kinds().insert(Kind::of(address));
        }
    }

    /// Whether `address` may be dialled for `host`, which is not configured.
    ///
    /// # Errors
    /// When it may not.
    pub(super) fn check(&self, host: &str, address: IpAddr) -> Result<(), Forbidden> {
        let kind = Kind::of(address);
        if self.is_open || kind == Kind::Public || self.kinds().contains(&kind) {
            return Ok(());
        }
        Err(Forbidden {
            host: host.to_owned(),
            address,
            kind,
        })
    }

    /// As [`Guard::check`], where the host of `uri` is an address: no name server is asked for it.
    pub(super) fn check_literal(&self, uri: &Uri) -> Result<(), Forbidden> {
        let host = uri.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse() {
            Ok(address) => self.check(host, address),
            Err(_) => Ok(()),
        }
    }

    fn kinds(&self) -> std::sync::MutexGuard<'_, HashSet<Kind>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn of_url(url: &Url) -> Option<Self> {
        Some(Self {
            host: url.host_str()?.to_ascii_lowercase(),
            port: url.port_or_known_default()?,
        })
    }

    fn of_uri(uri: &Uri) -> Option<Self> {
        let usual = match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        };
        Some(Self {
            host: uri.host()?.to_ascii_lowercase(),
            port: uri.port_u16().unwrap_or(usual),
        })
    }
}

fn at(host: &str, address: &IpAddr) -> String {
    if host.contains(&address.to_string()) {
        String::new()
    } else {
        format!(" at {address}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Credentials;
    use super::super::Retries;
    use super::super::Timeouts;
    use super::*;
    use crate::ledger::Leg;
    use std::time::Duration;

    fn guard(allow_private: bool) -> Guard {
        let second = Duration::from_secs(1);
        let config = Config {
            name: "registry.test".parse().unwrap(),
            url: "https://Registry.test/prefix".parse().unwrap(),
            leg: Leg::Upstream,
            fallback: vec!["http://[::1]:5000".parse().unwrap()],
            credentials: Credentials::Anonymous,
            ca: None,
            plain_http: true,
            allow_private,
            max_concurrent: None,
            parallel_ranges: None,
            rate: None,
            bandwidth: None,
            timeouts: Timeouts {
                connect: second,
                header: second,
                idle_body: second,
            },
            retries: Retries {
                attempts: 1,
                base: second,
                cap: second,
            },
        };
        Guard::new(&config, &config.url)
    }

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    fn lets(guard: &Guard, address: &str) -> bool {
        guard.check("x.test", address.parse().unwrap()).is_ok()
    }

    #[test]
    fn a_place_is_a_host_and_a_port() {
        let guard = guard(false);
        for (text, expected) in [
            ("https://registry.test/v2/", true),
            ("https://registry.test:443/", true),
            ("http://registry.test:443/", true),
            ("http://[::1]:5000/v2/", true),
            ("https://registry.test:444/", false),
            ("http://registry.test/", false),
            ("https://registry.test.evil.test/", false),
            ("http://[::1]:5001/", false),
        ] {
            assert_eq!(guard.is_configured(&uri(text)), expected, "{text}");
        }
    }

    #[test]
    fn nothing_but_the_internet_is_open_before_the_registry_is_reached() {
        let shut = guard(false);
        for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "0.0.0.0"] {
            assert!(!lets(&shut, address), "{address}");
            assert!(lets(&guard(true), address), "{address}");
        }
        assert!(lets(&shut, "1.1.1.1") && lets(&shut, "2606:4700::1111"));
    }

    #[test]
    fn the_registrys_own_connection_opens_its_kind_alone() {
        let guard = guard(false);
        let (own, other) = (uri("https://registry.test/"), uri("http://[::1]:5000/"));
        guard.connected(&other, "10.0.0.1".parse().unwrap());
        guard.connected(&own, "1.1.1.1".parse().unwrap());
        assert!(!lets(&guard, "10.0.0.2"), "a fallback's kind is its own");
        guard.connected(&own, "10.0.0.1".parse().unwrap());
        assert!(lets(&guard, "192.168.7.7") && lets(&guard, "::ffff:10.9.9.9"));
        assert!(!lets(&guard, "127.0.0.1") && !lets(&guard, "169.254.169.254"));
    }

    #[test]
    fn an_address_in_a_url_is_checked_without_a_name_server() {
        let guard = guard(false);
        let refused = |text: &str| guard.check_literal(&uri(text)).unwrap_err().to_string();
        let text = refused("http://[fe80::1]:80/");
        assert!(text.contains("leads to [fe80::1], a link-local"), "{text}");
        let text = refused("http://10.0.0.1/");
        assert!(text.contains("leads to 10.0.0.1, a private"), "{text}");
        assert!(guard.check_literal(&uri("http://10.0.0.1.test/")).is_ok());
        assert!(guard.check_literal(&uri("http://1.1.1.1/")).is_ok());
    }
}
