use std::fmt;
use std::str::FromStr;

use crate::layout::Location;
/// An image in a registry, as people write it.
pub use crate::oci::Image as Reference;

/// One end of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// In a registry.
    Registry(Reference),
    /// On disk.
    Disk(Location),
}

impl FromStr for End {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match Location::parse(text) {
            Some(location) => Ok(Self::Disk(location.map_err(anyhow::Error::msg)?)),
            None => Ok(Self::Registry(text.parse()?)),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Disk(location) => location.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_docker_reads() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, read) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("team/app", "docker.io/team/app:latest"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/a/b:1", "docker.io/a/b:1"),
            ("docker://ghcr.io/a/b/c:1", "ghcr.io/a/b/c:1"),
            ("localhost/a:1", "localhost/a:1"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
            ("127.0.0.1:5000/a/b:x", "127.0.0.1:5000/a/b:x"),
            (&format!("a.io/b@{digest}"), &format!("a.io/b@{digest}")),
            (&format!("a.io/b:1@{digest}"), &format!("a.io/b:1@{digest}")),
        ] {
            let end: End = text.parse().unwrap();
            assert_eq!(end.to_string(), read, "{text}");
        }
        for text in [
            "",
            "A/b",
            "a.io/",
            "a.io/b:",
            "a.io/b@x",
            "a.io/b:1:2",
            "oci:",
            "dir:/a",
        ] {
            assert!(text.parse::<End>().is_err(), "{text}");
        }
    }
}
