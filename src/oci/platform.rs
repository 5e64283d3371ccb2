use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::Digest;
use super::DigestError;

/// A platform, as `docker --platform` takes it: `os/architecture`, with `/variant` or without.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

/// A text that is no platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected OS/ARCHITECTURE, such as linux/arm64")]
pub struct PlatformError;

impl Platform {
    /// The one that containers have on this machine.
    pub fn own() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: None,
        }
    }

    /// Whether `entry` is for this one. Without a variant, any will do.
    fn takes(&self, entry: &EntryPlatform) -> bool {
        self.os == entry.os
            && self.architecture == entry.architecture
            && (self.variant.is_none() || self.variant == entry.variant)
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let has_all = parts.iter().all(|part| !part.is_empty());
        match parts[..] {
            [os, architecture] if has_all => Ok((os, architecture, None)),
            [os, architecture, variant] if has_all => Ok((os, architecture, Some(variant))),
            _ => Err(PlatformError),
        }
        .map(|(os, architecture, variant)| Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(ToOwned::to_owned),
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// The manifests of an index, by platform.
#[derive(Debug, Deserialize)]
pub struct Index {
    manifests: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    digest: String,
    platform: Option<EntryPlatform>,
    #[serde(default)]
    annotations: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
struct EntryPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

/// What BuildKit writes at an attestation: the digest of the image that it is about.
const ABOUT: &str = "vnd.docker.reference.digest";

impl Index {
    /// Of an index' bytes; `None` where they are none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// The images for `platforms`, and the attestations about them.
    ///
    /// # Errors
    /// When there is none for one of them; the error says which there are.
    pub fn choose(&self, platforms: &[Platform]) -> Result<Vec<Digest>, String> {
        match platforms.iter().find(|it| self.of(it).next().is_none()) {
            Some(platform) => Err(self.lacks(&platform.to_string())),
            None => self.choose_present(platforms),
        }
    }

    /// The same, of those of `platforms` that there are.
    ///
    /// # Errors
    /// When there is none for any of them; the error says which there are.
    pub fn choose_present(&self, platforms: &[Platform]) -> Result<Vec<Digest>, String> {
        let chosen = platforms.iter().flat_map(|platform| self.of(platform));
        let chosen: Vec<&str> = chosen.map(|entry| entry.digest.as_str()).collect();
        if chosen.is_empty() && !platforms.is_empty() {
            let wanted: Vec<String> = platforms.iter().map(ToString::to_string).collect();
            return Err(self.lacks(&wanted.join(" or ")));
        }
        let is_about = |entry: &&Entry| {
            let about = entry.annotations.get(ABOUT).and_then(|it| it.as_str());
            about.is_some_and(|about| chosen.contains(&about))
        };
        let about: Vec<&str> = self
            .manifests
            .iter()
            .filter(is_about)
            .map(|it| &*it.digest)
            .collect();
        let mut all: Vec<&str> = Vec::new();
        for digest in chosen.into_iter().chain(about) {
            if !all.contains(&digest) {
                all.push(digest);
            }
        }
        let parsed = all.into_iter().map(str::parse);
        parsed
            .collect::<Result<_, DigestError>>()
            .map_err(|error| error.to_string())
    }

    fn of(&self, platform: &Platform) -> impl Iterator<Item = &Entry> {
        let all = self.manifests.iter();
        all.filter(|entry| entry.platform.as_ref().is_some_and(|it| platform.takes(it)))
    }

    fn lacks(&self, platforms: &str) -> String {
        format!("there is no {platforms} in it, but {}", self.platforms())
    }

    /// The one image for `platform`, or the only one that there is.
    ///
    /// # Errors
    /// As [`Self::choose`].
    pub fn one(&self, platform: Option<&Platform>) -> Result<Digest, String> {
        let images: Vec<&Entry> = self.manifests.iter().filter(|it| it.is_image()).collect();
        let digest = |text: &str| text.parse::<Digest>().map_err(|error| error.to_string());
        match (&images[..], platform) {
            ([only], None) => digest(&only.digest),
            (_, platform) => {
                let own = Platform::own();
                let chosen = self.choose(std::slice::from_ref(platform.unwrap_or(&own)))?;
                chosen
                    .into_iter()
                    .next()
                    .ok_or_else(|| "there is no image in it".to_owned())
            }
        }
    }

    /// The first image of it, whatever its platform is.
    pub fn first(&self) -> Option<Digest> {
        let mut images = self.manifests.iter().filter(|it| it.is_image());
        images.next()?.digest.parse().ok()
    }

    /// Whether a manifest of it is an image, no attestation.
    pub fn is_image(&self, digest: &Digest) -> bool {
        let mut entries = self.manifests.iter();
        entries.any(|entry| entry.digest == digest.as_str() && entry.is_image())
    }

    fn platforms(&self) -> String {
        let images = self.manifests.iter().filter(|it| it.is_image());
        let named = images
            .filter_map(|entry| entry.platform.as_ref())
            .map(|it| {
                let (os, architecture, variant) = (&it.os, &it.architecture, &it.variant);
                let platform = Platform {
                    os: os.clone(),
                    architecture: architecture.clone(),
                    variant: variant.clone(),
                };
                platform.to_string()
            });
        let named: Vec<String> = named.collect();
        match named.is_empty() {
            true => "no platform at all".to_owned(),
            false => named.join(", "),
        }
    }
}

impl Entry {
    fn is_image(&self) -> bool {
        let unknown = |it: &EntryPlatform| it.os == "unknown";
        !self.annotations.contains_key(ABOUT) && !self.platform.as_ref().is_some_and(unknown)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn digest(fill: char) -> String {
        format!("sha256:{}", String::from(fill).repeat(64))
    }

    fn index() -> Index {
        let entry = |fill: char, architecture: &str, variant: Option<&str>| {
            json!({"digest": digest(fill), "platform":
                {"os": "linux", "architecture": architecture, "variant": variant}})
        };
        let about = json!({"digest": digest('e'), "annotations": {ABOUT: digest('b')},
            "platform": {"os": "unknown", "architecture": "unknown"}});
        let all = [
            entry('a', "amd64", None),
            entry('b', "arm", Some("v6")),
            entry('c', "arm", Some("v7")),
            about,
        ];
        let bytes = json!({"manifests": all}).to_string();
        Index::parse(bytes.as_bytes()).unwrap()
    }

    fn chosen(platforms: &[&str]) -> Result<String, String> {
        let platforms: Vec<Platform> = platforms.iter().map(|it| it.parse().unwrap()).collect();
        let chosen = index().choose(&platforms)?;
        Ok(chosen.iter().map(|digest| &digest.hex()[..1]).collect())
    }

    #[test]
    fn those_that_there_are_will_do() {
        let all: Vec<Platform> = ["windows/amd64", "linux/amd64"]
            .map(|it| it.parse().unwrap())
            .into();
        assert_eq!(index().choose_present(&all).unwrap()[0].hex()[..1], *"a");
        assert!(index().choose(&all).is_err());
        let error = index().choose_present(&all[..1]).unwrap_err();
        assert!(
            error.starts_with("there is no windows/amd64 in it"),
            "{error}"
        );
    }

    #[test]
    fn a_platform_comes_with_what_is_about_it() {
        assert_eq!(chosen(&["linux/amd64"]).as_deref(), Ok("a"));
        assert_eq!(chosen(&["linux/arm"]).as_deref(), Ok("bce"));
        assert_eq!(
            chosen(&["linux/arm/v7", "linux/amd64"]).as_deref(),
            Ok("ca")
        );
        let error = chosen(&["linux/amd64", "windows/amd64"]).unwrap_err();
        assert_eq!(
            error,
            "there is no windows/amd64 in it, but linux/amd64, linux/arm/v6, linux/arm/v7"
        );
        let v6 = "linux/arm/v6".parse().unwrap();
        assert_eq!(index().one(Some(&v6)).unwrap().hex()[..1], *"b");
        for wrong in ["", "linux", "linux/", "/amd64", "a/b/c/d"] {
            assert!(wrong.parse::<Platform>().is_err(), "{wrong}");
        }
    }
}
