//! `gc` takes what nobody can ask for, and nothing else.

use std::fs;
use std::fs::File;
use std::fs::FileTimes;
use std::path::Path;
use std::time::SystemTime;

use tidegate::store::gc;
use tidegate::store::gc::Report;
use tidegate::store::inspect;
use tidegate::store::verify;

use super::*;

fn collect(config: &Config) -> Report {
    gc::gc(config, &mut |_| {}).unwrap()
}

/// Makes all below `folder` older than what `gc` leaves alone.
fn age(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path);
        } else {
            let old = SystemTime::now() - gc::GRACE * 2;
            let times = FileTimes::new().set_accessed(old).set_modified(old);
            File::open(path).unwrap().set_times(times).unwrap();
        }
    }
}

/// A store with one image, and one of each thing that is garbage.
async fn littered() -> (Fixture, Digest) {
    let fixture = Fixture::new(None).await;
    let own = repository("docker.io/library/nginx");
    let digest = fixture.image(&own, "1", &[b"layer", b"evicted"]).await;
    fs::remove_file(fixture.blob_path(&Digest::of(b"evicted"))).unwrap();
    // A blob that no repository links, and one whose link no manifest backs.
    fixture
        .write(b"unlinked")
        .await
        .commit(&Digest::of(b"unlinked"), &[])
        .await
        .unwrap();
    fixture.put(&own, b"unnamed").await;
    // A repository whose manifest is gone, with its tag and its layers.
    let lost = repository("docker.io/lost/app");
    let manifest = fixture.image(&lost, "1", &[b"lost layer"]).await;
    fs::remove_file(fixture.blob_path(&manifest)).unwrap();
    (fixture, digest)
}

#[tokio::test]
async fn an_idle_store_is_left_with_what_can_be_asked_for() {
    let (fixture, digest) = littered().await;
    let (config, folder) = fixture.close();
    fs::write(config.path.join("tidegate/tmp/half"), "x").unwrap();
    let mut last = None;
    let report = gc::gc(&config, &mut |step| last = Some(step)).unwrap();
    let bytes = ["unlinked", "unnamed", "lost layer"].map(|text| text.len() as u64);
    assert_eq!((report.blobs, report.bytes), (3, bytes.iter().sum()));
    // Of the layer, and of the lost image: manifest, config, layer.
    assert_eq!((report.links, report.tags), (4, 1));
    assert_eq!((report.leftovers, report.serving), (1, false));
    assert!(report.folders > 0);
    let last = last.unwrap();
    assert_eq!(last.done, last.total);
    assert!(!v2(&config).join("repositories/docker.io/lost").exists());

    let listed = inspect::ls(&config).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].tags[0].digest, digest.as_str());
    let sound = verify::verify(&config, false, &mut |_| {}).unwrap();
    assert!(sound.problems.is_empty());
    assert_eq!(sound.missing.len(), 1);

    let store = Store::open(config.clone()).await.unwrap();
    let own = repository("docker.io/library/nginx");
    assert!(store.manifest(&own, &digest).await.unwrap().is_some());
    assert!(
        store
            .blob(&own, &Digest::of(b"layer"))
            .await
            .unwrap()
            .is_some()
    );
    let evicted = Digest::of(b"evicted");
    assert!(
        store.is_linked(&own, &evicted).await.unwrap(),
        "permission stays"
    );
    drop(store);
    assert_eq!(
        collect(&config),
        Report::default(),
        "nothing is left to collect"
    );
    drop(folder);
}

#[tokio::test]
async fn beside_a_server_what_is_young_stays() {
    let (fixture, _) = littered().await;
    let writer = fixture.write(b"half").await;
    let young = collect(&fixture.config);
    assert_eq!(
        young,
        Report {
            serving: true,
            ..Report::default()
        }
    );

    age(&fixture.v2());
    let old = collect(&fixture.config);
    assert_eq!((old.blobs, old.links, old.tags), (3, 4, 1));
    assert_eq!(old.leftovers, 0);
    let own = repository("docker.io/library/nginx");
    let digest = Digest::of(b"unnamed");
    assert!(fixture.store.blob(&own, &digest).await.unwrap().is_none());
    let repositories = std::slice::from_ref(&own);
    writer
        .commit(&Digest::of(b"half"), repositories)
        .await
        .unwrap();
    fixture.put(&own, b"unnamed").await;
    assert!(fixture.store.blob(&own, &digest).await.unwrap().is_some());
}

#[tokio::test]
async fn layers_of_other_repositories_stay() {
    let fixture = Fixture::new(None).await;
    let [a, b] = ["docker.io/a", "docker.io/b"].map(repository);
    let first = fixture.image(&a, "1", &[b"shared", b"own"]).await;
    fixture.image(&b, "1", &[b"shared"]).await;
    fixture.store.unlink_manifest(&a, &first).await.unwrap();
    let (config, folder) = fixture.close();
    let report = collect(&config);
    // The manifest of a and its own layer; its links to config, shared and own, and its tag.
    assert_eq!((report.blobs, report.links, report.tags), (2, 3, 1));
    assert!(blob_path(&config, &Digest::of(b"shared")).exists());
    assert!(!blob_path(&config, &Digest::of(b"own")).exists());
    drop(folder);
}
