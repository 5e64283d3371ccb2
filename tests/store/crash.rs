//! What a killed process leaves, and who may open a store.

use std::process::Command;

use super::*;

const CHILD: &str = "TIDEGATE_TEST_CRASHES_IN";

/// Not a test by itself: the process that dies in [`a_crash_leaves_nothing_behind`].
#[tokio::test]
#[ignore = "run by another test"]
async fn dies_while_it_writes() {
    let path = std::env::var_os(CHILD).unwrap().into();
    let config = Config {
        path,
        max_size: None,
    };
    let store = Store::open(config).await.unwrap();
    let writer = store.writer(Some(100)).await.unwrap();
    writer.file().write_all_at(b"half of it", 0).unwrap();
    std::process::abort();
}

#[tokio::test]
async fn a_crash_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        path: folder.path().join("store"),
        max_size: Some(1000),
    };
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "crash::dies_while_it_writes"])
        .env(CHILD, &config.path)
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert_eq!(
        leftovers(&config),
        1,
        "the child died too early: {output:?}"
    );
    let nested = config.path.join("tidegate/tmp/removed/folder");
    std::fs::create_dir_all(&nested).unwrap();
    let store = Store::open(config.clone()).await.unwrap();
    store.indexed().await;
    assert_eq!(leftovers(&config), 0);
    assert_eq!(store.usage().bytes, 0);
}

#[tokio::test]
async fn a_store_serves_one_process() {
    let fixture = Fixture::new(None).await;
    let error = Store::open(fixture.config.clone()).await.unwrap_err();
    let path = fixture.config.path.display().to_string();
    assert!(error.to_string().contains(&path), "{error}");
    assert!(is_locked(Err(error)));
    let writer = fixture.write(b"x").await;
    let (config, _folder) = fixture.close();
    assert!(
        is_locked(Store::open(config.clone()).await),
        "a writer is left"
    );
    drop(writer);
    Store::open(config).await.unwrap();
}
