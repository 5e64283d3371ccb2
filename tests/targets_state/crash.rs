//! What a killed process leaves.

use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Command;
use std::process::Stdio;

use super::*;

const CHILD: &str = "TIDEGATE_TEST_WRITES_TO";
const CLOCK: u64 = 1_800_000_000;

/// Not a test by itself: the process that is killed in [`what_was_synced_survives_a_kill`].
#[tokio::test]
#[ignore = "run by another test"]
async fn writes_until_it_is_killed() {
    let path = PathBuf::from(std::env::var_os(CHILD).unwrap());
    let now = || UNIX_EPOCH + Duration::from_secs(CLOCK);
    let state = State::with_clock(&path, Arc::new(now)).unwrap();
    let catalog = state.catalog("one", TTL);
    let mut number = 0;
    loop {
        for _ in 0..20 {
            catalog.note(&name("a"), &digest(number));
            number += 1;
        }
        catalog.synced().await.unwrap();
        println!("\nsynced {number}");
    }
}

#[test]
fn what_was_synced_survives_a_kill() {
    let fixture = Fixture::new();
    let mut before = 0;
    for lines in [1, 7, 30] {
        std::fs::create_dir_all(fixture.path.parent().unwrap()).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture"])
            .arg("crash::writes_until_it_is_killed")
            .env(CHILD, &fixture.path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let synced = output.lines().map_while(Result::ok).filter_map(|line| {
            let number = line.strip_prefix("synced ")?;
            number.parse::<u32>().ok()
        });
        let synced = synced.take(lines).last();
        child.kill().unwrap();
        child.wait().unwrap();
        before = before.max(synced.expect("the child wrote nothing"));
        let state = fixture.open();
        let catalog = state.catalog("one", TTL);
        for number in 0..before {
            assert!(
                catalog.holds(&name("a"), &digest(number)).is_some(),
                "{number} of {before}"
            );
        }
    }
    assert!(!fixture.aside().exists(), "a crash is no damage");
}
