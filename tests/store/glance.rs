//! What is in the kernel's memory is given at once, on the caller's thread; all else is looked at
//! by another one.

use std::fs;
use std::future::Future;
use std::pin::pin;
use std::sync::mpsc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use tidegate::oci::Repository;

use super::*;

/// Runs a test where one thread alone may wait for disks.
fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).enable_all().build();
    runtime.unwrap().block_on(test);
}

/// What the store gives while that thread is not to be had; `None` where it has to look.
fn at_once(store: &Store, repository: &Repository, digest: &Digest) -> Option<Option<Blob>> {
    without_another(store.blob(repository, digest))
}

/// The same, whoever may open it.
fn at_once_of_any(store: &Store, digest: &Digest) -> Option<Option<Blob>> {
    without_another(store.blob_of_any(digest))
}

fn without_another(
    asked: impl Future<Output = Result<Option<Blob>, Error>>,
) -> Option<Option<Blob>> {
    let ((begins, begun), (release, held)) = (mpsc::channel(), mpsc::channel::<()>());
    tokio::task::spawn_blocking(move || {
        begins.send(()).unwrap();
        held.recv().unwrap_err();
    });
    begun.recv().unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let given = match pin!(asked).poll(&mut context) {
        Poll::Ready(blob) => Some(blob.unwrap()),
        Poll::Pending => None,
    };
    drop(release);
    given
}

/// A store with a blob that was asked for before, and who may open it.
async fn asked_before(content: &[u8]) -> (Fixture, Repository, Digest) {
    let fixture = Fixture::new(None).await;
    let own = repository("docker.io/private/app");
    let digest = fixture.put(&own, content).await;
    assert!(fixture.store.blob(&own, &digest).await.unwrap().is_some());
    (fixture, own, digest)
}

#[test]
fn a_blob_that_was_asked_for_before_is_given_at_once() {
    run(async {
        let (fixture, own, digest) = asked_before(b"content").await;
        let store = &fixture.store;
        let blob = at_once(store, &own, &digest).expect("at once").unwrap();
        let mut content = [0; 7];
        blob.file.read_exact_at(&mut content, 0).unwrap();
        assert_eq!((&content, blob.size), (b"content", 7));
        assert!(blob.is_unaltered());
        let again = at_once(store, &own, &digest).expect("at once").unwrap();
        assert!(Arc::ptr_eq(&blob.file, &again.file), "one file for all");
    });
}

#[test]
fn nothing_is_said_at_once_of_what_may_not_be_opened_or_is_not_there() {
    run(async {
        let (fixture, own, digest) = asked_before(b"content").await;
        let store = &fixture.store;
        let other = repository("docker.io/public/app");
        assert!(at_once(store, &other, &digest).is_none());
        assert!(at_once(store, &own, &Digest::of(b"other")).is_none());

        let held = fixture.folder.path().join(format!(
            "store/docker/registry/v2/repositories/docker.io/private/app/_layers/sha256/{}/held",
            digest.hex()
        ));
        fs::remove_file(&held).unwrap();
        assert!(at_once(store, &own, &digest).is_none());
        assert!(store.blob(&own, &digest).await.unwrap().is_none());
    });
}

#[test]
fn a_file_that_changed_or_vanished_is_looked_at() {
    run(async {
        let (fixture, own, digest) = asked_before(b"content").await;
        let store = &fixture.store;
        let data = fixture.folder.path().join(format!(
            "store/docker/registry/v2/blobs/sha256/{}/{}/data",
            &digest.hex()[..2],
            digest.hex()
        ));
        fs::write(&data, b"CONTENT").unwrap();
        assert!(at_once(store, &own, &digest).is_none());
        assert!(store.blob(&own, &digest).await.unwrap().is_none(), "wrong");

        fixture.put(&own, b"content").await;
        let reader = at_once(store, &own, &digest).expect("at once").unwrap();
        fs::remove_file(&data).unwrap();
        assert!(at_once(store, &own, &digest).is_none(), "though it is read");
        assert!(store.blob(&own, &digest).await.unwrap().is_none());
        drop(reader);
    });
}

#[test]
fn that_a_blob_is_not_there_is_known_at_once_until_it_comes() {
    run(async {
        let (fixture, own, digest) = asked_before(b"content").await;
        let store = &fixture.store;
        let other = Digest::of(b"other");
        assert!(store.blob_of_any(&other).await.unwrap().is_none());
        assert!(at_once_of_any(store, &other).expect("at once").is_none());

        fixture.put(&own, b"other").await;
        assert!(at_once_of_any(store, &other).is_none(), "it may be there");
        assert!(store.blob_of_any(&other).await.unwrap().is_some());

        fs::remove_file(fixture.blob_path(&digest)).unwrap();
        assert!(at_once_of_any(store, &digest).is_none(), "it was there");
        assert!(store.blob_of_any(&digest).await.unwrap().is_none());
        assert!(at_once_of_any(store, &digest).expect("at once").is_none());
    });
}

#[test]
fn what_somebody_else_puts_there_is_found_though_it_was_known_not_to_be_there() {
    run(async {
        let (fixture, _, digest) = asked_before(b"content").await;
        let store = &fixture.store;
        let other = Digest::of(b"other");
        let path = fixture.blob_path(&other);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert!(store.blob_of_any(&other).await.unwrap().is_none());
        assert!(at_once_of_any(store, &other).expect("at once").is_none());
        fs::write(&path, b"other").unwrap();
        let found = store.blob_of_any(&other).await.unwrap().unwrap();
        assert_eq!(content(&found), b"other");
        assert!(store.blob_of_any(&digest).await.unwrap().is_some());
    });
}
