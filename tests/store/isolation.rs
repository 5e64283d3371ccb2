//! A blob opens only through a repository that has a link to it.

use tidegate::oci::Tag;

use super::*;

#[tokio::test]
async fn a_blob_opens_through_its_repositories_only() {
    let fixture = Fixture::new(None).await;
    let (own, other) = (
        repository("docker.io/private/app"),
        repository("docker.io/public/app"),
    );
    let digest = fixture.put(&own, b"secret").await;
    let store = &fixture.store;
    assert!(store.blob(&own, &digest).await.unwrap().is_some());
    assert!(store.blob(&other, &digest).await.unwrap().is_none());
    assert!(!store.is_linked(&other, &digest).await.unwrap());
    assert!(store.blob_of_any(&digest).await.unwrap().is_some());
    for near in [
        "docker.io/private",
        "docker.io/private/app/more",
        "quay.io/private/app",
    ] {
        assert!(
            store
                .blob(&repository(near), &digest)
                .await
                .unwrap()
                .is_none()
        );
    }
    let all = [digest.clone(), Digest::of(b"not stored")];
    store.link_blobs(&other, &all).await.unwrap();
    assert!(store.blob(&other, &digest).await.unwrap().is_some());
    assert!(store.is_linked(&other, &all[1]).await.unwrap());
    assert!(store.blob(&other, &all[1]).await.unwrap().is_none());
}

#[tokio::test]
async fn a_look_tells_what_is_open_from_what_others_have() {
    let fixture = Fixture::new(None).await;
    let store = &fixture.store;
    let (own, other) = (
        repository("docker.io/private/app"),
        repository("docker.io/public/app"),
    );
    let digest = fixture.put(&own, b"content").await;
    for _ in 0..2 {
        let open = store.look_up(&own, &digest).await.unwrap();
        assert!(matches!(open, Lookup::Open(blob) if content(&blob) == b"content"));
        let held = store.look_up(&other, &digest).await.unwrap();
        assert!(matches!(held, Lookup::Held), "{held:?}");
        let absent = store.look_up(&own, &Digest::of(b"other")).await.unwrap();
        assert!(matches!(absent, Lookup::Absent), "{absent:?}");
    }
    std::fs::write(fixture.blob_path(&digest), "altered").unwrap();
    let altered = store.look_up(&own, &digest).await.unwrap();
    assert!(matches!(altered, Lookup::Absent), "{altered:?}");
}

#[tokio::test]
async fn a_manifest_opens_through_its_repositories_only_and_opens_nothing_that_it_names() {
    let fixture = Fixture::new(None).await;
    let (own, other) = (
        repository("docker.io/private/app"),
        repository("docker.io/public/app"),
    );
    let digest = fixture.image(&own, "1", &[b"layer"]).await;
    let store = &fixture.store;
    let manifest = store.manifest(&own, &digest).await.unwrap().unwrap();
    assert!(store.manifest(&other, &digest).await.unwrap().is_none());
    let layer = Digest::of(b"layer");
    assert!(store.blob(&other, &layer).await.unwrap().is_none());
    let (kind, bytes) = (&manifest.media_type, manifest.bytes.clone());
    store
        .put_manifest(&other, &digest, kind, bytes)
        .await
        .unwrap();
    assert!(store.manifest(&other, &digest).await.unwrap().is_some());
    assert!(store.blob(&other, &layer).await.unwrap().is_none());
    assert!(!store.is_linked(&other, &layer).await.unwrap());
    let vouched_for = std::slice::from_ref(&layer);
    store.link_blobs(&other, vouched_for).await.unwrap();
    assert!(store.blob(&other, &layer).await.unwrap().is_some());

    store.unlink_manifest(&own, &digest).await.unwrap();
    store.unlink_manifest(&own, &digest).await.unwrap();
    assert!(store.manifest(&own, &digest).await.unwrap().is_none());
    assert!(store.manifest(&other, &digest).await.unwrap().is_some());
}

#[tokio::test]
async fn an_index_links_no_manifests() {
    let fixture = Fixture::new(None).await;
    let (own, other) = (
        repository("docker.io/private/app"),
        repository("docker.io/public/app"),
    );
    let child = fixture.image(&own, "1", &[]).await;
    let entry = descriptor(media::OCI_MANIFEST, &child, 1);
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#);
    fixture.manifest(&other, "1", media::OCI_INDEX, index).await;
    assert!(
        fixture
            .store
            .manifest(&other, &child)
            .await
            .unwrap()
            .is_none()
    );
    assert!(fixture.store.blob(&other, &child).await.unwrap().is_none());
}

#[tokio::test]
async fn an_empty_link_is_none() {
    let fixture = Fixture::new(None).await;
    let own = repository("docker.io/private/app");
    let digest = fixture.image(&own, "1", &[b"layer"]).await;
    let base = fixture.v2().join("repositories/docker.io/private/app");
    let layer = Digest::of(b"layer");
    for link in [
        format!("_layers/sha256/{}/link", layer.hex()),
        format!("_manifests/revisions/sha256/{}/link", digest.hex()),
        "_manifests/tags/1/current/link".into(),
    ] {
        std::fs::write(base.join(link), "").unwrap();
    }
    let store = &fixture.store;
    assert!(store.blob(&own, &layer).await.unwrap().is_none());
    assert!(store.manifest(&own, &digest).await.unwrap().is_none());
    assert!(
        store
            .tag(&own, &"1".parse().unwrap())
            .await
            .unwrap()
            .is_none()
    );
    assert!(store.tags(&own).await.unwrap().is_empty());
    fixture.image(&own, "1", &[b"layer"]).await;
    assert!(store.blob(&own, &layer).await.unwrap().is_some());
    assert!(store.manifest(&own, &digest).await.unwrap().is_some());
    assert!(
        store
            .tag(&own, &"1".parse().unwrap())
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn tags_and_repositories_are_listed_as_bytes_sort() {
    let fixture = Fixture::new(None).await;
    let names = ["b", "a/c", "a", "a-b"];
    for name in names {
        let own = repository(&format!("localhost:5000/{name}"));
        for tag in ["b", "B", "a.1", "_"] {
            fixture.image(&own, tag, &[]).await;
        }
    }
    let store = &fixture.store;
    let only_blobs = repository("localhost:5000/blobs");
    fixture.put(&only_blobs, b"x").await;
    let upstream = only_blobs.upstream.clone();
    let listed = store.repositories(&upstream).await.unwrap();
    let listed: Vec<&str> = listed.iter().map(|name| name.as_str()).collect();
    assert_eq!(listed, ["a", "a-b", "a/c", "b"]);
    let own = repository("localhost:5000/a");
    let tags = store.tags(&own).await.unwrap();
    let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    assert_eq!(tags, ["B", "_", "a.1", "b"]);
    store.remove_tag(&own, &"_".parse().unwrap()).await.unwrap();
    store.remove_tag(&own, &"_".parse().unwrap()).await.unwrap();
    assert_eq!(store.tags(&own).await.unwrap().len(), 3);
    let nobody = repository("quay.io/x");
    assert!(store.tags(&nobody).await.unwrap().is_empty());
    assert!(
        store
            .repositories(&nobody.upstream)
            .await
            .unwrap()
            .is_empty()
    );
}
