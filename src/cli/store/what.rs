use std::str::FromStr;

use crate::oci::Digest;
use crate::oci::Repository;
use crate::store::remove;

/// What `rm` removes, as it was written and as it was read.
#[derive(Clone, Debug)]
pub(in crate::cli) struct What {
    pub(super) text: String,
    pub(super) what: remove::What,
}

impl FromStr for What {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        Ok(Self {
            text: text.to_owned(),
            what: read(text)?,
        })
    }
}

fn read(text: &str) -> anyhow::Result<remove::What> {
    let Some((upstream, path)) = text.split_once('/') else {
        let digest: Digest = text.parse().map_err(|_| {
            anyhow::anyhow!("expected UPSTREAM/NAME, with :TAG or @DIGEST or without, or a DIGEST")
        })?;
        return Ok(remove::What::Digest(digest));
    };
    let repository = |name: &str| anyhow::Ok(Repository::new(upstream.parse()?, name.parse()?));
    Ok(if let Some((name, digest)) = path.split_once('@') {
        remove::What::Link(repository(name)?, digest.parse()?)
    } else if let Some((name, tag)) = path.split_once(':') {
        remove::What::Tag(repository(name)?, tag.parse()?)
    } else {
        remove::What::Repository(repository(path)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let kind = |text: &str| match read(text).unwrap() {
            remove::What::Repository(repository) => format!("repository {repository}"),
            remove::What::Tag(repository, tag) => format!("tag {repository} {tag}"),
            remove::What::Link(repository, digest) => {
                format!("link {repository} {}", digest.algorithm().as_str())
            }
            remove::What::Digest(digest) => format!("digest {}", digest.algorithm().as_str()),
        };
        assert_eq!(
            kind("docker.io/library/nginx"),
            "repository docker.io/library/nginx"
        );
        assert_eq!(kind("localhost:5000/a/b:1.2"), "tag localhost:5000/a/b 1.2");
        assert_eq!(kind(&format!("a.io/b@{digest}")), "link a.io/b sha256");
        assert_eq!(kind(&digest), "digest sha256");
        for wrong in [
            "",
            "nginx",
            "a.io/",
            "a.io/B",
            "a.io/b:",
            "a.io/b@x",
            "a.io/../b",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
