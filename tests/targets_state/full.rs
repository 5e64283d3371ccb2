//! A disk without room.

use std::fs;
use std::process::Command;

use fake_registry::has_all;

use super::*;

const FOLDER: &str = "TIDEGATE_TEST_SMALL_DISK";

/// Not a test by itself: what goes on on the disk of [`a_full_disk_is_waited_for`].
#[tokio::test]
#[ignore = "run by another test"]
async fn writes_to_a_small_disk() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let (path, filler) = (folder.join("targets.redb"), folder.join("filler"));
    let number = 20_000;
    {
        let state = State::open(&path).unwrap();
        let catalog = state.catalog("one", TTL);
        catalog.note(&name("a"), &digest(0));
        catalog.synced().await.unwrap();
        // All that is left.
        let zeros = [0; 4096];
        let mut file = fs::File::create(&filler).unwrap();
        while std::io::Write::write_all(&mut file, &zeros).is_ok() {}
        for number in 1..number {
            catalog.note(&name("a"), &digest(number));
        }
        let error = catalog.synced().await.unwrap_err().to_string();
        assert!(error.contains("No space left"), "{error}");
        for number in 0..number {
            assert!(catalog.holds(&name("a"), &digest(number)).is_some());
        }
        drop(file);
        fs::remove_file(&filler).unwrap();
        while catalog.synced().await.is_err() {}
    }
    let state = State::open(&path).unwrap();
    let catalog = state.catalog("one", TTL);
    assert_eq!(catalog.entries(), u64::from(number));
    assert!(!folder.join("targets.redb.damaged").exists());
}

#[test]
fn a_full_disk_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let run = |script: &str| {
        Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "full::writes_to_a_small_disk"])
            .env(FOLDER, folder.path())
            .output()
    };
    let mount = format!("mount -t tmpfs -o size=24m tmpfs \"${FOLDER}\"");
    if !run(&mount).is_ok_and(|output| output.status.success()) {
        // Skipped by name; with CI=true it fails.
        assert!(!has_all(&["right to mount (root)"]));
        return;
    }
    let output = run(&format!("{mount} && exec \"$@\"")).unwrap();
    assert!(output.status.success(), "{output:?}");
}
