//! A blob is published whole, or nothing of it is.

use std::future::Future as _;
use std::pin::pin;
use std::task::Context;
use std::task::Waker;
use std::time::Duration;

use tokio::task::JoinSet;

use super::*;

#[tokio::test]
async fn what_is_committed_can_be_read() {
    let fixture = Fixture::new(None).await;
    let repository = repository("docker.io/library/nginx");
    let writer = fixture.store.writer(None).await.unwrap();
    let file = Arc::clone(writer.file());
    file.write_all_at(b"lo", 3).unwrap();
    file.write_all_at(b"hel", 0).unwrap();
    let digest = Digest::of(b"hello");
    assert!(fixture.store.blob_of_any(&digest).await.unwrap().is_none());
    let own = std::slice::from_ref(&repository);
    let blob = writer.commit(&digest, own).await.unwrap();
    assert_eq!(content(&blob), b"hello");
    assert!(blob.stored.elapsed().unwrap() < Duration::from_secs(60));
    let again = fixture
        .store
        .blob(&repository, &digest)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((content(&again), again.size), (b"hello".to_vec(), 5));
    let usage = fixture.store.usage();
    assert_eq!((usage.blobs, usage.bytes, usage.reserved), (1, 5, 0));
    assert_eq!(leftovers(&fixture.config), 0);
}

#[tokio::test]
async fn what_is_dropped_leaves_nothing() {
    let fixture = Fixture::new(Some(1000)).await;
    let writer = fixture.write(b"half").await;
    assert_eq!(fixture.store.usage().reserved, 4);
    assert_eq!(leftovers(&fixture.config), 1);
    let follower = Arc::clone(writer.file());
    drop(writer);
    assert_eq!(leftovers(&fixture.config), 0);
    assert_eq!(fixture.store.usage().reserved, 0);
    let mut half = [0; 4];
    follower.read_exact_at(&mut half, 0).unwrap();
    assert_eq!(&half, b"half", "who follows can still read");
}

#[tokio::test]
async fn a_commit_that_fails_leaves_nothing() {
    let fixture = Fixture::new(None).await;
    let digest = Digest::of(b"blob");
    let blocked = fixture
        .v2()
        .join(format!("blobs/sha256/{}", &digest.hex()[..2]));
    std::fs::create_dir_all(blocked.parent().unwrap()).unwrap();
    std::fs::write(&blocked, "a file where a folder must be").unwrap();
    let writer = fixture.write(b"blob").await;
    let error = writer.commit(&digest, &[]).await.unwrap_err();
    assert!(error.to_string().contains(digest.hex()), "{error}");
    assert_eq!(leftovers(&fixture.config), 0);
    assert_eq!(fixture.store.usage().reserved, 0);
    assert_eq!(fixture.store.usage().blobs, 0);
}

#[tokio::test]
async fn a_commit_is_not_undone_by_who_goes_away() {
    let fixture = Fixture::new(None).await;
    let digest = Digest::of(b"blob");
    let writer = fixture.write(b"blob").await;
    {
        let mut commit = pin!(writer.commit(&digest, &[]));
        let mut context = Context::from_waker(Waker::noop());
        let _ = commit.as_mut().poll(&mut context);
    }
    let stored = async {
        while fixture.store.blob_of_any(&digest).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), stored)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_of_one_digest_agree() {
    let fixture = Arc::new(Fixture::new(Some(1 << 20)).await);
    let body = vec![5; 10_000];
    let digest = Digest::of(&body);
    let mut writers = JoinSet::new();
    for number in 0..32 {
        let (fixture, body, digest) = (Arc::clone(&fixture), body.clone(), digest.clone());
        writers.spawn(async move {
            let own = repository(&format!("docker.io/r{number}"));
            let writer = fixture.write(&body).await;
            let blob = writer
                .commit(&digest, std::slice::from_ref(&own))
                .await
                .unwrap();
            assert!(content(&blob) == body);
            let blob = fixture.store.blob(&own, &digest).await.unwrap().unwrap();
            assert!(content(&blob) == body);
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let usage = fixture.store.usage();
    assert_eq!((usage.blobs, usage.bytes, usage.reserved), (1, 10_000, 0));
    assert_eq!(leftovers(&fixture.config), 0);
}

#[tokio::test]
async fn what_is_empty_or_gone_is_not_stored_and_can_be_stored_again() {
    let fixture = Fixture::new(None).await;
    let repository = repository("docker.io/library/nginx");
    let digest = fixture.put(&repository, b"blob").await;
    let path = fixture.blob_path(&digest);

    let reader = fixture
        .store
        .blob(&repository, &digest)
        .await
        .unwrap()
        .unwrap();
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    assert!(
        fixture
            .store
            .blob(&repository, &digest)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(fixture.store.usage().blobs, 0);
    assert_eq!(content(&reader), b"blob");
    fixture.put(&repository, b"blob").await;

    std::fs::write(&path, "").unwrap();
    assert!(
        fixture
            .store
            .blob(&repository, &digest)
            .await
            .unwrap()
            .is_none()
    );
    fixture.put(&repository, b"blob").await;
    let blob = fixture
        .store
        .blob(&repository, &digest)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(content(&blob), b"blob");

    let empty = fixture.put(&repository, b"").await;
    let blob = fixture
        .store
        .blob(&repository, &empty)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(blob.size, 0, "the one blob that may be empty");
}

#[tokio::test]
async fn a_corrupt_manifest_is_not_stored_and_can_be_stored_again() {
    let fixture = Fixture::new(None).await;
    let repository = repository("docker.io/library/nginx");
    let digest = fixture
        .manifest(&repository, "1", media::OCI_INDEX, "{}".into())
        .await;
    std::fs::write(fixture.blob_path(&digest), "[]").unwrap();
    assert!(
        fixture
            .store
            .manifest(&repository, &digest)
            .await
            .unwrap()
            .is_none()
    );
    fixture
        .manifest(&repository, "1", media::OCI_INDEX, "{}".into())
        .await;
    assert!(
        fixture
            .store
            .manifest(&repository, &digest)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn the_probe_leaves_nothing_and_says_what_is_wrong() {
    let fixture = Fixture::new(None).await;
    fixture.store.probe().await.unwrap();
    assert_eq!(leftovers(&fixture.config), 0);
    let tmp = fixture.config.path.join("tidegate/tmp");
    std::fs::remove_dir(&tmp).unwrap();
    std::fs::write(&tmp, "a file where a folder must be").unwrap();
    let error = fixture.store.probe().await.unwrap_err();
    assert!(error.to_string().contains("tidegate/tmp"), "{error}");
    std::fs::remove_file(&tmp).unwrap();
    fixture.store.probe().await.unwrap();
}

#[tokio::test]
async fn a_store_that_was_removed_is_begun_anew() {
    let fixture = Fixture::new(Some(1 << 20)).await;
    let own = repository("docker.io/library/nginx");
    let digest = fixture.put(&own, b"blob").await;
    let lost = fixture.write(b"half").await;
    std::fs::remove_dir_all(&fixture.config.path).unwrap();
    assert!(fixture.store.blob(&own, &digest).await.unwrap().is_none());
    let half = Digest::of(b"half");
    lost.commit(&half, &[]).await.unwrap_err();

    fixture.put(&own, b"blob").await;
    assert!(fixture.store.blob(&own, &digest).await.unwrap().is_some());
    fixture.store.indexed().await;
    let usage = fixture.store.usage();
    assert_eq!((usage.blobs, usage.bytes, usage.reserved), (1, 4, 0));
    assert!(
        is_locked(Store::open(fixture.config.clone()).await),
        "it is ours again"
    );

    std::fs::remove_dir_all(&fixture.config.path).unwrap();
    fixture.store.probe().await.unwrap();
    fixture.image(&own, "1", &[b"blob"]).await;
}
