//! Uploads into a real registry, and what it gives back.

use bytes::Bytes;
use fake_registry::DockerRegistry;
use fake_registry::Pki;
use fake_registry::TokenServer;
use fake_registry::need;
use http::StatusCode;
use serde_json::json;
use tidegate::ledger::FlowId;
use tidegate::oci::Digest;
use tidegate::oci::Name;
use tidegate::oci::Reference;
use tidegate::oci::media::OCI_INDEX;
use tidegate::oci::media::OCI_MANIFEST;
use tidegate::registry::Credentials;
use tidegate::registry::Error;
use tidegate::registry::MountFrom;
use tidegate::registry::NewManifest;
use tidegate::registry::Started;

use crate::setup::basic;
use crate::setup::name;
use crate::setup::read;
use crate::upload_rig::Rig;
use crate::upload_rig::digest;
use crate::upload_rig::random;

async fn there(rig: &Rig, name: &Name, bytes: &Bytes) {
    let digest = digest(bytes);
    let got = rig.registry.blob_get(FlowId::next(), name, &digest, None);
    let got = read(got.await.unwrap()).await.unwrap();
    assert!(got == *bytes, "another blob");
}

async fn put(rig: &Rig, name: &Name, reference: &Reference, bytes: Bytes) -> Result<Digest, Error> {
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let media_type = if text.contains("manifests") {
        OCI_INDEX
    } else {
        OCI_MANIFEST
    };
    let manifest = NewManifest { media_type, bytes };
    let flow = FlowId::next();
    let put = rig.registry.manifest_put(flow, name, reference, manifest);
    Ok(put.await?.digest.expect("it says which"))
}

/// An image with a large layer, pushed, mounted elsewhere, and read again.
async fn push(rig: &Rig) {
    let (config, layer) = (random(1000), random(5 << 20));
    let (one, other) = (name(), "other/app".parse::<Name>().unwrap());
    for bytes in [&config, &layer] {
        rig.upload(bytes).await.unwrap();
        there(rig, &one, bytes).await;
    }
    let part = |bytes: &Bytes, kind: &str| {
        let media_type = format!("application/vnd.oci.image.{kind}");
        json!({"mediaType": media_type, "digest": digest(bytes).as_str(), "size": bytes.len()})
    };
    let image = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": part(&config, "config.v1+json"),
        "layers": [part(&layer, "layer.v1.tar")],
    });
    let image = Bytes::from(image.to_string());
    let is = digest(&image);
    let child = json!({"mediaType": OCI_MANIFEST, "digest": is.as_str(), "size": image.len()});
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child]});
    let index = Bytes::from(index.to_string());
    let latest: Reference = "latest".parse().unwrap();
    let sparse = put(rig, &one, &latest, index.clone()).await;
    assert_eq!(sparse, Err(Error::BlobUnknown(vec![is.clone()])));
    let by_digest = Reference::Digest(is.clone());
    let lacking = put(rig, &other, &by_digest, image.clone()).await;
    let all = vec![digest(&config), digest(&layer)];
    let Err(Error::BlobUnknown(mut missing)) = lacking else {
        panic!("{lacking:?}");
    };
    missing.sort_by_key(|it| all.iter().position(|other| other == it));
    assert_eq!(missing, all);
    for (name, mounted) in [(&one, false), (&other, true)] {
        for digest in all.iter().filter(|_| mounted) {
            let mount = MountFrom { digest, from: &one };
            let flow = FlowId::next();
            let started = rig.registry.upload_start(flow, name, Some(mount)).await;
            assert!(matches!(started, Ok(Started::Mounted)), "{started:?}");
        }
        assert_eq!(
            put(rig, name, &by_digest, image.clone()).await,
            Ok(is.clone())
        );
        let tagged = put(rig, name, &latest, index.clone()).await;
        assert_eq!(tagged, Ok(digest(&index)));
    }
    there(rig, &other, &layer).await;
    let flow = FlowId::next();
    let got = rig
        .registry
        .manifest_get(flow, &other, &latest, OCI_INDEX)
        .await;
    let mut got = got.unwrap();
    got.unspent.spend_all(tidegate::ledger::Fate::Passed);
    assert_eq!(got.bytes, index);
}

#[tokio::test]
async fn an_image_is_pushed_mounted_and_read_again() {
    if !need(&["docker-registry"]) {
        return;
    }
    let pki = Pki::new();
    for tls in [false, true] {
        let builder = DockerRegistry::builder();
        let builder = if tls { builder.tls(&pki, &[]) } else { builder };
        let registry = builder.start().await;
        let ca = tls.then(|| pki.ca_file().to_owned());
        let rig = Rig::with(&registry.url(), |config| config.ca = ca);
        push(&rig).await;
        rig.check().await;
    }
}

/// `me` with the password `hunter2`, as `htpasswd -B` writes it.
const HTPASSWD: &str = "me:$2y$04$6RYLRVHz2Q2n4BNLuj8R2e.235NtLL.LOuK78SH9wgR2fjl20LcSq";

#[tokio::test]
async fn with_a_password() {
    if !need(&["docker-registry"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("htpasswd");
    std::fs::write(&file, HTPASSWD).unwrap();
    let section = format!(
        "auth:\n  htpasswd:\n    realm: x\n    path: {}\n",
        file.display()
    );
    let registry = DockerRegistry::builder().section(&section).start().await;
    let rig = Rig::with(&registry.url(), |config| {
        config.credentials = basic("me", "hunter2");
    });
    push(&rig).await;
    refused_once(&registry).await;
    rig.check().await;
}

#[tokio::test]
async fn with_tokens() {
    if !need(&["docker-registry"]) {
        return;
    }
    let tokens = TokenServer::for_docker_registry().user("me", "hunter2", &["*:pull,push"]);
    let tokens = tokens.start().await;
    let registry = DockerRegistry::builder().token_auth(&tokens).start().await;
    let rig = Rig::with(&registry.url(), |config| {
        config.credentials = basic("me", "hunter2");
    });
    push(&rig).await;
    refused_once(&registry).await;
    // To pull and to push here, to pull and to push there, to mount from here to there.
    assert_eq!(tokens.issued(), 5);
    rig.check().await;
    let nobody = Rig::with(&registry.url(), |config| {
        config.credentials = Credentials::Anonymous;
    });
    let refused = nobody.start_in(&name()).await.unwrap_err();
    assert!(
        matches!(refused, Error::Refused { status: 401, .. }),
        "{refused:?}"
    );
    nobody.check().await;
}

async fn refused_once(registry: &DockerRegistry) {
    let all = registry.access().into_iter();
    let refused = all.filter(|it| it.status == StatusCode::UNAUTHORIZED);
    assert_eq!(refused.count(), 1);
}
