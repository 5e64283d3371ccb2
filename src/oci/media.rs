//! Media types of manifests, and the `Accept` that asks for all of them.

/// An OCI image index (image spec, image-index.md).
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image manifest (image spec, manifest.md).
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Docker's manifest list (Image Manifest Version 2, Schema 2).
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's image manifest (Image Manifest Version 2, Schema 2).
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's signed manifest (Version 2, Schema 1), which the registries are giving up.
pub const DOCKER_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
/// What a blob is served as: the registry does not know its media type.
pub const OCTET_STREAM: &str = "application/octet-stream";
/// OCI's and Docker's lists and images: whoever accepts these four gets any tag as it was pushed.
pub const NATIVE: [&str; 4] = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST];
/// The `Accept` that gets any manifest as it was pushed.
pub const ACCEPT_NATIVE: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// The media type of a manifest that came without one: what it calls itself, else a guess from its
/// shape, as registries do it for manifests on disk.
pub fn of_manifest(bytes: &[u8]) -> &str {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape<'a> {
        media_type: Option<&'a str>,
        schema_version: Option<u8>,
        manifests: Option<serde::de::IgnoredAny>,
        signatures: Option<serde::de::IgnoredAny>,
    }
    match serde_json::from_slice::<Shape<'_>>(bytes) {
        Ok(Shape {
            media_type: Some(own),
            ..
        }) => own,
        Ok(
            Shape {
                signatures: Some(_),
                ..
            }
            | Shape {
                schema_version: Some(1),
                ..
            },
        ) => DOCKER_SIGNED,
        Ok(Shape {
            manifests: Some(_), ..
        }) => OCI_INDEX,
        Ok(_) => OCI_MANIFEST,
        Err(_) => OCTET_STREAM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_names_each_native_type() {
        assert_eq!(ACCEPT_NATIVE.split(", ").collect::<Vec<_>>(), NATIVE);
    }

    #[test]
    fn guesses_as_registries_do() {
        assert_eq!(of_manifest(br#"{"mediaType":"x/y","manifests":[]}"#), "x/y");
        assert_eq!(
            of_manifest(br#"{"schemaVersion":2,"manifests":[]}"#),
            OCI_INDEX
        );
        assert_eq!(
            of_manifest(br#"{"schemaVersion":2,"layers":[]}"#),
            OCI_MANIFEST
        );
        assert_eq!(
            of_manifest(br#"{"schemaVersion":1,"fsLayers":[]}"#),
            DOCKER_SIGNED
        );
        assert_eq!(of_manifest(b"no json"), OCTET_STREAM);
    }
}
