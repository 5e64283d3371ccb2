use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A repository's name within its registry (distribution spec, "Pulling manifests").
///
/// Guarantees: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/...)*`, 1 to 255 bytes. There is thus no empty
/// component, no `.` or `..`, and nothing that a file system or a URL treats specially.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// What clients call an upstream registry: a host, with a port where it is not the scheme's own.
///
/// Guarantees: a lower-case host name or address with an optional port, at most 255 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamName(Arc<str>);

/// A repository of one upstream: the unit of access, of links and of tags.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    /// The registry that it is a part of.
    pub upstream: UpstreamName,
    /// Its name within that registry.
    pub name: Name,
}

/// Why a string is not a [`Name`] or an [`UpstreamName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a repository name.
    #[error(
        "'{0}' is not a repository name: expected lower-case letters, digits and single \
         separators (., _, __, -), in components divided by '/', 255 bytes at most"
    )]
    Repository(String),
    /// Not a registry's host.
    #[error("'{0}' is not a registry's name: expected a lower-case host, with :port or without")]
    Upstream(String),
}

const LONGEST: usize = 255;

impl Name {
    /// The name as it stands in a URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let legal = text.len() <= LONGEST && text.split('/').all(is_component);
        if legal {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Repository(shorten(text)))
        }
    }
}

impl UpstreamName {
    /// The name as clients write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a component of a repository path: the colon before a port becomes `_`, so that
    /// a registry that serves the store's folder finds it legal.
    pub fn path_component(&self) -> String {
        self.0.replace(':', "_")
    }
}

impl FromStr for UpstreamName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (host, port) = text.split_once(':').unwrap_or((text, "0"));
        let is_port = port.parse::<u16>().is_ok() && !port.starts_with('+');
        let legal = text.len() <= LONGEST && is_port && is_component(host);
        if legal {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Upstream(shorten(text)))
        }
    }
}

impl Repository {
    /// A repository of an upstream.
    pub fn new(upstream: UpstreamName, name: Name) -> Self {
        Self { upstream, name }
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !text.starts_with(alphanumeric) || !text.ends_with(alphanumeric) {
        return false;
    }
    text.split(alphanumeric)
        .filter(|separator| !separator.is_empty())
        .all(|separator| {
            matches!(separator, "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

fn shorten(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

macro_rules! text {
    ($type:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
text!(Name);
text!(UpstreamName);

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.upstream, self.name)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_grammar_of_names() {
        for name in [
            "a",
            "library/nginx",
            "a.b/c_d/e__f/g-h/i--j",
            "0/1/2",
            "openstack.kolla/nova",
        ] {
            assert_eq!(name.parse::<Name>().unwrap().as_str(), name);
        }
        let long = "a".repeat(256);
        for name in [
            "", "/", "a/", "/a", "a//b", "A", "a/../b", "..", ".a", "a.", "a..b", "a___b", "a._b",
            "a b", "a%2fb", "ä", "a:b", &long,
        ] {
            assert!(name.parse::<Name>().is_err(), "{name}");
        }
    }

    #[test]
    fn knows_what_an_upstream_is_called() {
        for name in [
            "docker.io",
            "localhost",
            "localhost:5000",
            "127.0.0.1:65535",
        ] {
            assert_eq!(name.parse::<UpstreamName>().unwrap().as_str(), name);
        }
        for name in [
            "",
            "a:",
            "a:65536",
            "a:+1",
            "a:b",
            "a:1:2",
            "a/b",
            "Docker.io",
            "..",
            ":5000",
        ] {
            assert!(name.parse::<UpstreamName>().is_err(), "{name}");
        }
        let local: UpstreamName = "localhost:5000".parse().unwrap();
        assert_eq!(local.path_component(), "localhost_5000");
    }
}
