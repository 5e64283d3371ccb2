use std::fmt;
use std::str::FromStr;

use crate::layout::Location;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Repository;
use crate::oci::Tag;

/// One end of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// In a registry.
    Registry(Reference),
    /// On disk.
    Disk(Location),
}

/// An image in a registry, as people write it: `registry/repository:tag`, `...@digest`, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Registry and repository.
    pub repository: Repository,
    /// The tag; `latest` where nothing is said.
    pub tag: Option<Tag>,
    /// The digest, which decides where there is a tag as well.
    pub digest: Option<Digest>,
}

/// What docker calls Docker Hub, which some write as its old address.
const HUB: &str = "docker.io";
const HUB_TOO: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

impl FromStr for End {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match Location::parse(text) {
            Some(location) => Ok(Self::Disk(location.map_err(anyhow::Error::msg)?)),
            None => Ok(Self::Registry(text.parse()?)),
        }
    }
}

impl FromStr for Reference {
    type Err = anyhow::Error;

    /// Reads what docker reads: without a registry it is Docker Hub, without a tag it is `latest`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let text = text.strip_prefix("docker://").unwrap_or(text);
        let (text, digest) = match text.split_once('@') {
            Some((text, digest)) => (text, Some(digest.parse()?)),
            None => (text, None),
        };
        let is_host = |part: &str| part.contains(['.', ':']) || part == "localhost";
        let (host, path) = match text.split_once('/') {
            Some((host, path)) if is_host(host) => (host, path),
            _ => (HUB, text),
        };
        let host = if HUB_TOO.contains(&host) { HUB } else { host };
        let (path, tag) = match path.split_once(':') {
            Some((path, tag)) => (path, Some(tag.parse()?)),
            None => (path, None),
        };
        let official = host == HUB && !path.contains('/');
        let name: Name = match official {
            true => format!("library/{path}").parse()?,
            false => path.parse()?,
        };
        let tag = match (tag, &digest) {
            (None, None) => Some("latest".parse()?),
            (tag, _) => tag,
        };
        Ok(Self {
            repository: Repository::new(host.parse()?, name),
            tag,
            digest,
        })
    }
}

impl Reference {
    /// As docker calls it: a registry, the repository and a tag.
    pub(super) fn name_and_tag(&self) -> Option<String> {
        let tag = self.tag.as_ref()?;
        Some(format!("{}:{tag}", self.repository))
    }
}

impl Reference {
    /// Reads what the store's commands read: `UPSTREAM/NAME`, with `:TAG` or `@DIGEST` or without. An
    /// upstream is called as it is configured.
    ///
    /// # Errors
    /// When it is something else.
    pub fn stored(text: &str) -> anyhow::Result<Self> {
        let wanted = || anyhow::anyhow!("expected UPSTREAM/NAME, with :TAG or @DIGEST or without");
        let (upstream, path) = text.split_once('/').ok_or_else(wanted)?;
        let (path, digest) = match path.split_once('@') {
            Some((path, digest)) => (path, Some(digest.parse()?)),
            None => (path, None),
        };
        let (name, tag) = match path.split_once(':') {
            Some((name, tag)) => (name, Some(tag.parse()?)),
            None => (path, None),
        };
        Ok(Self {
            repository: Repository::new(upstream.parse()?, name.parse()?),
            tag,
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
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
