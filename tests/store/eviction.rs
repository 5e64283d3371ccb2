//! `max_size`: the least recently used goes, what is read stays.

use std::fs::File;
use std::fs::FileTimes;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;

use futures_util::FutureExt as _;
use tokio::task::JoinSet;

use super::*;

/// Larger than what is evicted last.
const SIZE: usize = 100_000;

fn body(number: u8) -> Vec<u8> {
    vec![number; SIZE]
}

async fn stored(fixture: &Fixture, numbers: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let exists = |number: &u8| fixture.blob_path(&Digest::of(&body(*number))).exists();
    numbers.into_iter().filter(exists).collect()
}

#[tokio::test]
async fn the_least_recently_used_goes_first_and_its_link_stays() {
    let fixture = Fixture::new(Some(3 * SIZE as u64)).await;
    let repository = repository("docker.io/library/nginx");
    for number in 0..3 {
        fixture.put(&repository, &body(number)).await;
    }
    let oldest = Digest::of(&body(0));
    assert!(
        fixture
            .store
            .blob(&repository, &oldest)
            .await
            .unwrap()
            .is_some()
    );
    fixture.put(&repository, &body(3)).await;
    assert_eq!(stored(&fixture, 0..4).await, [0, 2, 3]);
    let evicted = Digest::of(&body(1));
    assert!(
        fixture
            .store
            .is_linked(&repository, &evicted)
            .await
            .unwrap()
    );
    assert!(
        fixture
            .store
            .blob(&repository, &evicted)
            .await
            .unwrap()
            .is_none()
    );
    let folder = fixture.blob_path(&evicted);
    assert!(
        !folder.parent().unwrap().exists(),
        "its folder goes as well"
    );
    fixture.put(&repository, &body(1)).await;
    assert_eq!(stored(&fixture, 0..4).await, [0, 1, 3]);
}

#[tokio::test]
async fn the_order_survives_a_restart() {
    let fixture = Fixture::new(Some(3 * SIZE as u64)).await;
    let repository = repository("docker.io/library/nginx");
    let day = Duration::from_secs(86_400);
    for number in 0..3 {
        let digest = fixture.put(&repository, &body(number)).await;
        let old = SystemTime::now() - day * (10 - u32::from(number));
        let times = FileTimes::new().set_accessed(old).set_modified(old);
        File::open(fixture.blob_path(&digest))
            .unwrap()
            .set_times(times)
            .unwrap();
    }
    let fixture = fixture.reopen().await;
    assert_eq!(fixture.store.usage().bytes, 3 * SIZE as u64);
    let oldest = Digest::of(&body(0));
    let blob = fixture
        .store
        .blob(&repository, &oldest)
        .await
        .unwrap()
        .unwrap();
    assert!(blob.stored < SystemTime::now() - day, "a use is no commit");
    drop(blob);
    let fixture = fixture.reopen().await;
    fixture.put(&repository, &body(3)).await;
    assert_eq!(stored(&fixture, 0..4).await, [0, 2, 3]);
}

#[tokio::test]
async fn a_smaller_limit_is_met_after_the_start() {
    let fixture = Fixture::new(None).await;
    let repository = repository("docker.io/library/nginx");
    for number in 0..4 {
        fixture.put(&repository, &body(number)).await;
    }
    let (mut config, folder) = fixture.close();
    config.max_size = Some(2 * SIZE as u64);
    let store = Store::open(config).await.unwrap();
    store.indexed().await;
    // A writer is given when room is made.
    drop(store.writer(Some(0)).await.unwrap());
    let mut left = 0;
    for number in 0..4 {
        let blob = store.blob_of_any(&Digest::of(&body(number))).await.unwrap();
        left += blob.map_or(0, |blob| blob.size);
    }
    assert_eq!((left, store.usage().bytes), (2 * SIZE as u64, left));
    drop(folder);
}

#[tokio::test]
async fn what_is_read_stays_and_more_than_fits_is_refused() {
    let fixture = Fixture::new(Some(2 * SIZE as u64)).await;
    let repository = repository("docker.io/library/nginx");
    let first = fixture.put(&repository, &body(0)).await;
    let second = fixture.put(&repository, &body(1)).await;
    let reader = fixture
        .store
        .blob(&repository, &first)
        .await
        .unwrap()
        .unwrap();
    let file = reader.clone().file;
    drop(reader);
    fixture.put(&repository, &body(2)).await;
    assert_eq!(stored(&fixture, 0..3).await, [0, 2]);
    assert!(!fixture.blob_path(&second).exists());

    let other = fixture
        .store
        .blob_of_any(&Digest::of(&body(2)))
        .await
        .unwrap();
    let alone = fixture.store.writer(Some(SIZE as u64)).await.unwrap();
    tokio::time::pause();
    let error = fixture.store.writer(Some(1)).await.unwrap_err();
    assert!(matches!(error, Error::Full { wanted: 1, .. }), "{error}");
    tokio::time::resume();

    drop((alone, other));
    let waiting = fixture.store.writer(Some(SIZE as u64)).await.unwrap();
    assert_eq!(stored(&fixture, 0..3).await, [0]);
    drop((waiting, file));
}

#[tokio::test]
async fn a_writer_waits_for_room_that_is_given_back() {
    let fixture = Fixture::new(Some(SIZE as u64)).await;
    let writer = async || fixture.store.writer(Some(SIZE as u64)).await.unwrap();
    let (first, beyond) = (writer().await, writer().await);
    let store = Arc::clone(&fixture.store);
    let mut third = Box::pin(async move { store.writer(Some(SIZE as u64)).await });
    assert!((&mut third).now_or_never().is_none());
    assert_eq!(fixture.store.usage().reserved, 2 * SIZE as u64);
    drop(first);
    third.await.unwrap();
    drop(beyond);
}

#[tokio::test]
async fn a_blob_beyond_the_limit_is_passed_on_and_not_kept() {
    let fixture = Fixture::new(Some(SIZE as u64)).await;
    let repository = repository("docker.io/library/nginx");
    let kept = fixture.put(&repository, &body(0)).await;
    let large = vec![9; SIZE + 1];
    let digest = Digest::of(&large);
    let writer = fixture.write(&large).await;
    let own = std::slice::from_ref(&repository);
    let blob = writer.commit(&digest, own).await.unwrap();
    assert!(content(&blob) == large);
    assert!(
        fixture
            .store
            .blob(&repository, &digest)
            .await
            .unwrap()
            .is_none()
    );
    assert!(fixture.store.is_linked(&repository, &digest).await.unwrap());
    assert!(
        fixture.blob_path(&kept).exists(),
        "nothing had to go for it"
    );
    assert_eq!(leftovers(&fixture.config), 0);
}

#[tokio::test]
async fn manifests_are_evicted_last() {
    let fixture = Fixture::new(Some(2 * SIZE as u64)).await;
    let repository = repository("docker.io/library/nginx");
    let image = fixture.image(&repository, "1", &[&body(0)]).await;
    let padding = "x".repeat(SIZE / 2);
    let manifest = format!(r#"{{"schemaVersion":2,"annotations":{{"a":"{padding}"}}}}"#);
    assert!(manifest.len() < SIZE);
    for number in 1..4 {
        fixture.put(&repository, &body(number)).await;
    }
    let wide = fixture
        .manifest(&repository, "2", media::OCI_INDEX, manifest)
        .await;
    for number in 4..8 {
        fixture.put(&repository, &body(number)).await;
    }
    for digest in [image, wide] {
        assert!(
            fixture
                .store
                .manifest(&repository, &digest)
                .await
                .unwrap()
                .is_some()
        );
    }
    assert_eq!(stored(&fixture, 0..8).await, [7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_stay_within_the_limit() {
    let limit = 10 * SIZE as u64;
    let fixture = Arc::new(Fixture::new(Some(limit)).await);
    let done = Arc::new(AtomicBool::new(false));
    let (watched, end) = (Arc::clone(&fixture), Arc::clone(&done));
    let watch = std::thread::spawn(move || {
        let mut most = 0;
        while !end.load(Ordering::Relaxed) {
            let usage = watched.store.usage();
            most = most.max(usage.bytes);
            assert!(usage.bytes + usage.reserved <= limit + 8 * SIZE as u64);
        }
        most
    });
    let mut writers = JoinSet::new();
    for worker in 0..8_u8 {
        let fixture = Arc::clone(&fixture);
        writers.spawn(async move {
            let own = repository("docker.io/library/nginx");
            for round in 0..20 {
                let body = body(worker * 20 + round);
                let digest = fixture.put(&own, &body).await;
                if let Some(blob) = fixture.store.blob(&own, &digest).await.unwrap() {
                    assert!(content(&blob) == body, "evicted while it was read");
                }
            }
        });
    }
    while let Some(finished) = writers.join_next().await {
        finished.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    let most = watch.join().unwrap();
    assert!(most <= limit, "{most} bytes were stored");
    let usage = fixture.store.usage();
    assert!(usage.bytes > limit / 2 && usage.reserved == 0, "{usage:?}");
    let on_disk = tidegate::store::inspect::du(&fixture.config).unwrap();
    assert_eq!((on_disk.blobs, on_disk.bytes), (usage.blobs, usage.bytes));
}
