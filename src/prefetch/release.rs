use std::fmt;

use crate::oci::Repository;
use crate::oci::Tag;

/// An OpenShift release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    version: String,
    architectures: Vec<Architecture>,
    repository: Repository,
    is_usual: bool,
}

/// What a release is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    /// 64-bit x86.
    Amd64,
    /// 64-bit Arm.
    Arm64,
    /// 64-bit POWER, little-endian.
    Ppc64le,
    /// IBM Z.
    S390x,
    /// Images for all of them.
    Multi,
}

/// A text that names no release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// No version.
    #[error("'{0}' is no release: expected a version, such as openshift:4.20.8")]
    Version(String),
    /// Not one that releases are built for.
    #[error("there are no releases for '{0}': expected amd64, arm64, ppc64le, s390x or multi")]
    Architecture(String),
    /// Not a repository.
    #[error(
        "'{0}' is no place of releases: expected REGISTRY/NAME, such as quay.io/okd/scos-release"
    )]
    Repository(String),
}

/// Where Red Hat has its releases.
const USUAL: &str = "quay.io/openshift-release-dev/ocp-release";

impl Release {
    /// Of what is behind `openshift:`, such as `4.20.8` or `4.20.8@registry.example/mirror/release`,
    /// for `architectures`, as OCI or as Red Hat call them; for amd64 where there is none.
    ///
    /// # Errors
    /// When one of them is not as it should be.
    pub fn new(text: &str, architectures: &[impl AsRef<str>]) -> Result<Self, ReleaseError> {
        let (version, place) = text.split_once('@').unwrap_or((text, USUAL));
        let longest = format!("{version}-aarch64");
        if !version.starts_with(|c: char| c.is_ascii_digit()) || longest.parse::<Tag>().is_err() {
            return Err(ReleaseError::Version(version.to_owned()));
        }
        let mut all = Vec::new();
        for name in architectures {
            let architecture = Architecture::named(name.as_ref())?;
            if !all.contains(&architecture) {
                all.push(architecture);
            }
        }
        if all.is_empty() {
            all.push(Architecture::Amd64);
        }
        Ok(Self {
            version: version.to_owned(),
            architectures: all,
            repository: repository(place)
                .ok_or_else(|| ReleaseError::Repository(place.to_owned()))?,
            is_usual: place == USUAL,
        })
    }

    /// Where its images are.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// What it is built for.
    pub(super) fn architectures(&self) -> &[Architecture] {
        &self.architectures
    }

    /// Its version.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// What its image may be called: `<version>-<architecture>`, or, where others have their releases,
    /// just the version, as OKD does it.
    pub(super) fn tags(&self, architecture: Architecture) -> Vec<Tag> {
        let usual = format!("{}-{}", self.version, architecture.in_tags());
        let mut tags = vec![usual];
        if !self.is_usual {
            tags.push(self.version.clone());
        }
        tags.iter().filter_map(|tag| tag.parse().ok()).collect()
    }

    /// Whether it is where Red Hat has its releases.
    pub(super) fn is_usual(&self) -> bool {
        self.is_usual
    }
}

/// As it is written in a configuration, without the architectures.
impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "openshift:{}", self.version)?;
        match self.is_usual {
            true => Ok(()),
            false => write!(f, "@{}", self.repository),
        }
    }
}

impl Architecture {
    fn named(name: &str) -> Result<Self, ReleaseError> {
        Ok(match name {
            "amd64" | "x86_64" => Self::Amd64,
            "arm64" | "aarch64" => Self::Arm64,
            "ppc64le" => Self::Ppc64le,
            "s390x" => Self::S390x,
            "multi" => Self::Multi,
            other => return Err(ReleaseError::Architecture(other.to_owned())),
        })
    }

    /// As it stands in the tags of releases.
    pub(super) fn in_tags(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
            Self::Ppc64le => "ppc64le",
            Self::S390x => "s390x",
            Self::Multi => "multi",
        }
    }

    /// The platform of its images; of several, the one that is looked into.
    pub(super) fn platform(self) -> &'static str {
        match self {
            Self::Amd64 | Self::Multi => "linux/amd64",
            Self::Arm64 => "linux/arm64",
            Self::Ppc64le => "linux/ppc64le",
            Self::S390x => "linux/s390x",
        }
    }
}

/// `REGISTRY/NAME`.
fn repository(text: &str) -> Option<Repository> {
    let (upstream, name) = text.split_once('/')?;
    Some(Repository::new(upstream.parse().ok()?, name.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_releases_as_they_are_written() {
        let usual = Release::new("4.20.8", &[] as &[&str]).unwrap();
        assert_eq!(usual.to_string(), "openshift:4.20.8");
        assert_eq!(
            usual.repository().to_string(),
            "quay.io/openshift-release-dev/ocp-release"
        );
        assert_eq!(usual.architectures(), [Architecture::Amd64]);
        let text = "4.20.0-okd-scos.5@quay.io/okd/scos-release";
        let okd = Release::new(text, &["aarch64", "arm64", "multi"]).unwrap();
        assert_eq!(okd.to_string(), format!("openshift:{text}"));
        assert_eq!(
            okd.architectures(),
            [Architecture::Arm64, Architecture::Multi]
        );
        assert_eq!(okd.version(), "4.20.0-okd-scos.5");
    }

    #[test]
    fn refuses_what_is_no_release() {
        let refused = |text: &str, arch: &str| Release::new(text, &[arch]).unwrap_err();
        for text in ["", "stable-4.20", "4.20/8", "4.20.8 "] {
            assert!(
                matches!(refused(text, "amd64"), ReleaseError::Version(_)),
                "{text}"
            );
        }
        for text in ["4.20.8@", "4.20.8@quay.io", "4.20.8@quay.io/A"] {
            let refused = refused(text, "amd64");
            assert!(matches!(refused, ReleaseError::Repository(_)), "{text}");
        }
        let riscv = refused("4.20.8", "riscv64");
        assert_eq!(riscv, ReleaseError::Architecture("riscv64".to_owned()));
    }
}
