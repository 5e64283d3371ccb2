//! A file that was altered since it was stored is looked into before it is lent again.

use std::fs;
use std::fs::File;
use std::fs::FileTimes;
use std::time::SystemTime;

use tokio::task::JoinSet;

use super::*;

fn overwrite(path: &std::path::Path, byte: u8) {
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&[byte], 5).unwrap();
}

#[tokio::test]
async fn a_wrong_one_goes_and_a_right_one_stays() {
    let fixture = Fixture::new(None).await;
    let own = repository("docker.io/library/nginx");
    let digest = fixture.put(&own, &[1; 1000]).await;
    let path = fixture.blob_path(&digest);
    let blob = async || fixture.store.blob(&own, &digest).await.unwrap();
    let before = blob().await.unwrap();
    overwrite(&path, 2);
    assert!(!before.is_unaltered());
    overwrite(&path, 1);
    let again = blob().await.expect("it is right again");
    assert!(again.is_unaltered() && path.exists());
    overwrite(&path, 3);
    assert!(blob().await.is_none());
    assert!(!path.exists(), "it would be hashed again each time");
    assert_eq!(fixture.store.usage().blobs, 0);
    assert!(fixture.store.is_linked(&own, &digest).await.unwrap());
}

#[tokio::test]
async fn a_tool_that_puts_the_mtime_back_is_noticed_while_the_process_lives() {
    let fixture = Fixture::new(None).await;
    let own = repository("docker.io/library/nginx");
    let digest = fixture.put(&own, &[1; 1000]).await;
    let path = fixture.blob_path(&digest);
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    overwrite(&path, 2);
    let times = FileTimes::new().set_modified(times);
    File::open(&path).unwrap().set_times(times).unwrap();
    assert!(fixture.store.blob(&own, &digest).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_doubted_is_hashed_again() {
    let fixture = Fixture::new(None).await;
    let own = repository("docker.io/library/nginx");
    let digest = fixture.put(&own, &[1; 1000]).await;
    let blob = fixture.store.blob(&own, &digest).await.unwrap().unwrap();
    let stored = blob.stored;
    blob.doubt();
    assert!(!blob.is_unaltered());
    let again = fixture.store.blob(&own, &digest).await.unwrap().unwrap();
    assert!(again.is_unaltered() && again.stored >= stored);
    assert!(again.stored <= SystemTime::now());
}

#[tokio::test]
async fn files_of_another_registry_are_hashed_once_and_served() {
    let fixture = Fixture::new(None).await;
    let own = repository("docker.io/library/nginx");
    let digest = fixture.put(&own, &[1; 1000]).await;
    let path = fixture.blob_path(&digest);
    let old = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    let file = File::open(&path).unwrap();
    file.set_times(FileTimes::new().set_modified(old)).unwrap();
    let fixture = fixture.reopen().await;
    let blob = fixture.store.blob(&own, &digest).await.unwrap().unwrap();
    assert!(content(&blob) == [1; 1000]);
    let age = blob.stored.duration_since(old).unwrap();
    assert!(age.as_secs() == 0, "when it was stored is known as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_want_it_at_once_get_it_whole_or_not_at_all() {
    let fixture = Arc::new(Fixture::new(None).await);
    let own = repository("docker.io/library/nginx");
    let body = vec![7; 1 << 20];
    let digest = fixture.put(&own, &body).await;
    for wrong in [false, true] {
        overwrite(&fixture.blob_path(&digest), 7 + u8::from(wrong));
        let mut readers = JoinSet::new();
        for _ in 0..16 {
            let (fixture, own, digest) = (fixture.clone(), own.clone(), digest.clone());
            readers.spawn(async move { fixture.store.blob(&own, &digest).await.unwrap() });
        }
        while let Some(blob) = readers.join_next().await {
            let blob = blob.unwrap();
            assert_eq!(blob.is_some(), !wrong);
            assert!(blob.is_none_or(|blob| content(&blob) == body));
        }
    }
}
