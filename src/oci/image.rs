use std::fmt;
use std::str::FromStr;

use super::Digest;
use super::DigestError;
use super::Name;
use super::NameError;
use super::ReferenceError;
use super::Repository;
use super::Tag;

/// An image in a registry, as people write it: `registry/repository:tag`, `...@digest`, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Registry and repository.
    pub repository: Repository,
    /// The tag.
    pub tag: Option<Tag>,
    /// The digest, which decides where there is a tag as well.
    pub digest: Option<Digest>,
}

/// Why a text names no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It has no upstream.
    #[error("expected UPSTREAM/NAME, with :TAG or @DIGEST or without")]
    Stored,
    /// Its registry or its repository is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Its tag is none.
    #[error(transparent)]
    Tag(#[from] ReferenceError),
    /// Its digest is none.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// What docker calls Docker Hub, which some write as its old address.
const HUB: &str = "docker.io";
const HUB_TOO: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

impl Image {
    /// Reads what docker reads, where its first component is a registry if `is_registry` says so, if it
    /// looks like a host, or not at all: then it is Docker Hub. There need be neither tag nor digest.
    ///
    /// # Errors
    /// When a part of it is not as it should be.
    pub fn read(text: &str, is_registry: impl Fn(&str) -> bool) -> Result<Self, ImageError> {
        let text = text.strip_prefix("docker://").unwrap_or(text);
        let (text, digest) = match text.split_once('@') {
            Some((text, digest)) => (text, Some(digest.parse()?)),
            None => (text, None),
        };
        let is_host = |part: &str| part.contains(['.', ':']) || part == "localhost";
        let (host, path) = match text.split_once('/') {
            Some((host, path)) if is_host(host) || is_registry(host) => (host, path),
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
        Ok(Self {
            repository: Repository::new(host.parse()?, name),
            tag,
            digest,
        })
    }

    /// Where neither a tag nor a digest is said, it is the tag `latest`.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = "latest".parse().ok();
        }
        self
    }

    /// Reads what the store's commands read: `UPSTREAM/NAME`, with `:TAG` or `@DIGEST` or without. An
    /// upstream is called as it is configured.
    ///
    /// # Errors
    /// When it is something else.
    pub fn stored(text: &str) -> Result<Self, ImageError> {
        let (upstream, path) = text.split_once('/').ok_or(ImageError::Stored)?;
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

    /// As docker calls it: a registry, the repository and a tag.
    pub fn name_and_tag(&self) -> Option<String> {
        let tag = self.tag.as_ref()?;
        Some(format!("{}:{tag}", self.repository))
    }
}

impl FromStr for Image {
    type Err = ImageError;

    /// Reads what docker reads: without a registry it is Docker Hub, without a tag it is `latest`.
    fn from_str(text: &str) -> Result<Self, ImageError> {
        Ok(Self::read(text, |_| false)?.or_latest())
    }
}

impl fmt::Display for Image {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_name_is_a_registry() {
        let read = |text: &str| Image::read(text, |name| name == "corp").unwrap();
        assert_eq!(read("corp/app:1").to_string(), "corp/app:1");
        assert_eq!(read("team/app").to_string(), "docker.io/team/app");
        assert_eq!(read("corp").to_string(), "docker.io/library/corp");
        assert_eq!(
            read("x").or_latest().to_string(),
            "docker.io/library/x:latest"
        );
    }
}
