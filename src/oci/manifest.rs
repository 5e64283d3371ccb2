use oci_spec::image::Descriptor as Entry;
use serde::Deserialize;

use super::Digest;

/// The digests that a manifest names, whatever its media type.
///
/// Only the fields that the known types share are read; a manifest of an unknown type that has
/// none of them simply names nothing. Nothing is ever rewritten from this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Config, layers and artifact blobs that the repository holds itself.
    pub blobs: Vec<Digest>,
    /// How long each of `blobs` is, in bytes, in their order; 0 where that is not said.
    pub sizes: Vec<u64>,
    /// The manifests of an index.
    pub manifests: Vec<Digest>,
    /// What a referrer refers to.
    pub subject: Option<Digest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    config: Option<Entry>,
    #[serde(default)]
    layers: Vec<Entry>,
    #[serde(default)]
    blobs: Vec<Entry>,
    #[serde(default)]
    manifests: Vec<Entry>,
    subject: Option<Entry>,
    #[serde(default)]
    fs_layers: Vec<FsLayer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FsLayer {
    blob_sum: String,
}

impl Manifest {
    /// Reads what `bytes` names; nothing, where they are no manifest that tidegate knows.
    pub fn parse(bytes: &[u8]) -> Self {
        let Ok(fields) = serde_json::from_slice::<Fields>(bytes) else {
            return Self::default();
        };
        let own = fields
            .config
            .iter()
            .chain(&fields.layers)
            .chain(&fields.blobs);
        let old = fields
            .fs_layers
            .iter()
            .filter_map(|layer| Some((layer.blob_sum.parse().ok()?, 0)));
        let mut named: Vec<(Digest, u64)> = own
            .filter(|entry| !is_foreign(entry))
            .filter_map(|entry| Some((digest(entry)?, entry.size())))
            .chain(old)
            .collect();
        named.sort_unstable();
        named.dedup_by(|one, other| one.0 == other.0);
        let (blobs, sizes) = named.into_iter().unzip();
        Self {
            blobs,
            sizes,
            manifests: fields.manifests.iter().filter_map(digest).collect(),
            subject: fields.subject.as_ref().and_then(digest),
        }
    }
}

/// A foreign layer is fetched from its `urls`: a registry takes the manifest without having it.
fn is_foreign(entry: &Entry) -> bool {
    let media_type = entry.media_type().to_string();
    entry.urls().as_ref().is_some_and(|urls| !urls.is_empty())
        || media_type.contains("nondistributable")
        || media_type.contains("foreign")
}

fn digest(entry: &Entry) -> Option<Digest> {
    entry.digest().to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fill: char, extra: &str) -> String {
        let hex = String::from(fill).repeat(64);
        format!(r#"{{"mediaType":"a/b","size":1,"digest":"sha256:{hex}"{extra}}}"#)
    }

    fn digest(fill: char) -> Digest {
        format!("sha256:{}", String::from(fill).repeat(64))
            .parse()
            .unwrap()
    }

    #[test]
    fn an_image_names_config_and_layers_but_no_foreign_ones() {
        let (config, layer) = (entry('c', ""), entry('a', ""));
        let foreign = entry('f', r#","urls":["https://example.com/layer"]"#);
        let json = format!(
            r#"{{"schemaVersion":2,"config":{config},"layers":[{layer},{layer},{foreign}],
                "subject":{},"annotations":{{"x":"y"}}}}"#,
            entry('5', "")
        );
        let manifest = Manifest::parse(json.as_bytes());
        assert_eq!(manifest.blobs, [digest('a'), digest('c')]);
        assert_eq!(manifest.sizes, [1, 1]);
        assert_eq!(manifest.subject, Some(digest('5')));
        assert!(manifest.manifests.is_empty());
    }

    #[test]
    fn an_index_names_manifests() {
        let json = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entry('1', ""));
        assert_eq!(Manifest::parse(json.as_bytes()).manifests, [digest('1')]);
    }

    #[test]
    fn what_is_no_manifest_names_nothing() {
        for bytes in [&b"{}"[..], b"[]", b"\xff", br#"{"layers":"x"}"#] {
            assert_eq!(Manifest::parse(bytes), Manifest::default());
        }
        let old = format!(r#"{{"fsLayers":[{{"blobSum":"{}"}}]}}"#, digest('9'));
        assert_eq!(Manifest::parse(old.as_bytes()).blobs, [digest('9')]);
    }
}
