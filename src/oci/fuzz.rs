//! Random texts at the edge: what is taken is taken as it is, and is safe in a path.

use std::path::Component;
use std::path::Path;

use fake_registry::Fuzz;
use proptest::prelude::*;

use super::*;

/// Texts of any kind, and such as are nearly what is legal.
fn texts() -> impl Strategy<Value = String> {
    let hex = "[0-9a-f]{64}";
    prop_oneof![
        any::<String>(),
        "[ -~]{0,40}",
        "[a-z0-9]{1,3}([._/:-]{1,2}[a-zA-Z0-9%]{0,3}){0,6}",
        "(\\.\\./|/|\\./|a/|_manifests/|%2e%2e/|\\x00){1,6}[a-z.]{0,3}",
        "(sha256|sha512|sha384|SHA256|md5):[0-9a-fA-F]{60,132}",
        hex.prop_map(|hex| format!("sha256:{hex}")),
        (hex, hex).prop_map(|(one, two)| format!("sha512:{one}{two}")),
        "[a-z0-9.-]{1,12}:[+0-9]{0,6}",
        "[a-z]{1,5}(/[a-z]{1,200}){0,3}",
    ]
}

/// Whether `text`, put after a folder, stays in it as exactly so many folders.
fn stays_inside(text: &str) -> bool {
    let path = Path::new("/store").join(text);
    let normal = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::RootDir);
    path.starts_with("/store")
        && path.components().all(normal)
        && path.components().count() == 2 + text.split('/').count()
        && !text.split('/').any(|part| part.starts_with('.'))
        && !text.contains('\0')
}

#[test]
fn names_and_references() {
    Fuzz::new(3000).run("names and references", &texts(), |text| {
        if let Ok(name) = text.parse::<Name>() {
            assert_eq!(name.as_str(), text);
            assert!(stays_inside(&text) && text.len() <= 255, "{text:?}");
            assert!(!text.split('/').any(|part| part.starts_with('_')));
        }
        if let Ok(name) = text.parse::<UpstreamName>() {
            assert_eq!(name.as_str(), text);
            let folder = name.path_component();
            assert!(stays_inside(&folder) && !folder.contains(['/', ':']));
            assert!(
                folder.parse::<Name>().is_ok() || folder.contains('_'),
                "{folder:?}"
            );
        }
        if let Ok(tag) = text.parse::<Tag>() {
            assert_eq!(tag.as_str(), text);
            assert!(stays_inside(&text) && !text.contains(['/', ':']));
        }
        if let Ok(digest) = text.parse::<Digest>() {
            assert_eq!(digest.as_str(), text);
            assert_eq!(
                digest.hex().len() + digest.algorithm().as_str().len() + 1,
                text.len()
            );
            assert_eq!(digest.short().len(), 12);
            assert!(stays_inside(digest.hex()) && !digest.hex().contains('/'));
        }
        match text.parse::<Reference>() {
            Ok(reference) => assert_eq!(reference.as_str(), text),
            Err(error) => assert!(error.to_string().len() < 1500),
        }
    });
}

/// A descriptor as it is, or with something wrong with it.
fn descriptors() -> impl Strategy<Value = serde_json::Value> {
    let digest = prop_oneof![
        4 => "sha256:[0-9a-f]{64}",
        1 => texts(),
    ];
    let size = prop_oneof![
        4 => any::<u32>().prop_map(Into::into),
        1 => any::<i64>().prop_map(serde_json::Value::from),
        1 => Just(serde_json::Value::Null),
    ];
    let media_type = prop_oneof![
        Just("application/vnd.oci.image.layer.v1.tar+gzip".to_owned()),
        Just("application/vnd.oci.image.layer.nondistributable.v1.tar".to_owned()),
        texts(),
    ];
    let urls = prop::option::of(prop::collection::vec(texts(), 0..2));
    (digest, size, media_type, urls).prop_map(|(digest, size, media_type, urls)| {
        let mut entry =
            serde_json::json!({"digest": digest, "size": size, "mediaType": media_type});
        if let Some(urls) = urls {
            entry["urls"] = urls.into();
        }
        entry
    })
}

/// JSON that looks like a manifest or an index, cut and with bytes changed now and then.
fn manifests() -> impl Strategy<Value = Vec<u8>> {
    let list = || prop::collection::vec(descriptors(), 0..4);
    let fields = (
        prop::option::of(descriptors()),
        (list(), list(), list()),
        prop::option::of(descriptors()),
        prop::collection::vec(texts(), 0..3),
        texts(),
    );
    let whole = fields.prop_map(
        |(config, (layers, blobs, manifests), subject, sums, kind)| {
            let sums: Vec<_> = sums
                .iter()
                .map(|sum| serde_json::json!({"blobSum": sum}))
                .collect();
            let json = serde_json::json!({
                "schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers,
                "blobs": blobs, "manifests": manifests, "subject": subject, "fsLayers": sums,
            });
            json.to_string().into_bytes()
        },
    );
    let deep = (1..5000_usize).prop_map(|depth| "[".repeat(depth).into_bytes());
    let broken = (whole, any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    let broken = broken.prop_map(|(mut bytes, at, byte, how)| {
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => bytes.truncate(at),
            _ => {}
        }
        bytes
    });
    prop_oneof![8 => broken, 1 => any::<Vec<u8>>(), 1 => deep]
}

#[test]
fn manifests_and_indexes() {
    Fuzz::new(2000).run("manifests and indexes", &manifests(), |bytes| {
        let manifest = Manifest::parse(&bytes);
        let named = manifest
            .blobs
            .iter()
            .chain(&manifest.manifests)
            .chain(&manifest.subject);
        let text = String::from_utf8_lossy(&bytes);
        for digest in named {
            assert!(text.contains(digest.as_str()), "{digest} is not named");
        }
        assert!(manifest.blobs.is_sorted());
        let media_type = media::of_manifest(&bytes);
        assert!(!media_type.contains(['\r', '\n', '\0']), "{media_type:?}");
    });
}
