//! `rm` takes what is named, beside a process that serves.

use tidegate::store::gc;
use tidegate::store::remove;
use tidegate::store::remove::What;

use super::*;

async fn two_repositories() -> (Fixture, [Repository; 2], Digest) {
    let fixture = Fixture::new(None).await;
    let [a, b] = ["docker.io/a", "docker.io/a/b"].map(repository);
    let digest = fixture.image(&a, "1", &[b"layer"]).await;
    fixture.image(&a, "2", &[b"layer"]).await;
    fixture.image(&b, "1", &[b"layer"]).await;
    (fixture, [a, b], digest)
}

#[tokio::test]
async fn a_repository_goes_and_the_one_below_stays() {
    let (fixture, [a, b], digest) = two_repositories().await;
    let what = What::Repository(a.clone());
    let report = remove::rm(&fixture.config, &what).unwrap();
    assert_eq!(
        (report.tags, report.manifests, report.links, report.blobs),
        (2, 1, 2, 0)
    );
    let store = &fixture.store;
    assert!(store.manifest(&a, &digest).await.unwrap().is_none());
    assert!(
        store
            .blob(&a, &Digest::of(b"layer"))
            .await
            .unwrap()
            .is_none()
    );
    assert!(store.manifest(&b, &digest).await.unwrap().is_some());
    assert_eq!(store.repositories(&a.upstream).await.unwrap(), [b.name]);
    assert!(remove::rm(&fixture.config, &what).unwrap().is_empty());
    assert_eq!(leftovers(&fixture.config), 0);
}

#[tokio::test]
async fn a_tag_goes_and_its_manifest_stays() {
    let (fixture, [a, _], digest) = two_repositories().await;
    let tag: tidegate::oci::Tag = "1".parse().unwrap();
    let what = What::Tag(a.clone(), tag.clone());
    assert_eq!(remove::rm(&fixture.config, &what).unwrap().tags, 1);
    assert!(fixture.store.tag(&a, &tag).await.unwrap().is_none());
    assert!(fixture.store.manifest(&a, &digest).await.unwrap().is_some());
    assert!(remove::rm(&fixture.config, &what).unwrap().is_empty());
}

#[tokio::test]
async fn a_link_goes_in_one_repository_and_a_digest_in_all() {
    let (fixture, [a, b], digest) = two_repositories().await;
    let store = &fixture.store;
    let what = What::Link(a.clone(), digest.clone());
    let report = remove::rm(&fixture.config, &what).unwrap();
    assert_eq!((report.tags, report.manifests, report.blobs), (2, 1, 0));
    assert!(store.manifest(&b, &digest).await.unwrap().is_some());

    let layer = Digest::of(b"layer");
    let report = remove::rm(&fixture.config, &What::Digest(layer.clone())).unwrap();
    assert_eq!((report.links, report.blobs, report.bytes), (2, 1, 5));
    assert!(store.blob_of_any(&layer).await.unwrap().is_none());
    assert!(!store.is_linked(&b, &layer).await.unwrap());
    let report = remove::rm(&fixture.config, &What::Digest(digest)).unwrap();
    assert_eq!((report.tags, report.manifests, report.blobs), (1, 1, 1));
    assert!(store.tags(&b).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_removed_repository_held_is_collected() {
    let (fixture, [a, b], _) = two_repositories().await;
    for repository in [a, b] {
        remove::rm(&fixture.config, &What::Repository(repository)).unwrap();
    }
    let (config, folder) = fixture.close();
    let report = gc::gc(&config, &mut |_| {}).unwrap();
    assert_eq!(report.blobs, 3);
    assert_eq!(
        std::fs::read_dir(v2(&config).join("blobs"))
            .unwrap()
            .count(),
        0
    );
    drop(folder);
}
