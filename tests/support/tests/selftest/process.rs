//! The guards of real programs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use fake_registry::Content;
use fake_registry::Process;
use fake_registry::Tidegate;
use fake_registry::Upstream;

/// Waits until no process has this id.
fn is_gone(pid: &str) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        // In a container without a reaping init, an orphan stays as a zombie.
        if stat.is_ok_and(|stat| !stat.contains(") Z ")) {
            std::thread::sleep(Duration::from_millis(10));
        } else {
            return true;
        }
    }
    false
}

/// A shell that starts a child, tells its id, and stays.
fn parent_and_child() -> Process {
    Process::command("sh")
        .args(["-c", "sleep 1000 & echo $!; wait"])
        .spawn()
}

async fn told(process: &mut Process) -> String {
    process
        .wait_ready(async |process| process.stdout().ends_with('\n'))
        .await;
    process.stdout().trim().to_owned()
}

#[tokio::test]
async fn a_dropped_guard_ends_the_program_and_its_children() {
    let mut process = parent_and_child();
    let child = told(&mut process).await;
    assert!(process.peak_rss() > 0);
    let pid = process.pid().to_string();
    drop(process);
    assert!(is_gone(&pid) && is_gone(&child));
}

/// Runs itself in another process, which dies by SIGABRT while a program runs.
#[tokio::test]
async fn a_dying_test_leaves_nothing() {
    const DIE: &str = "FAKE_REGISTRY_DIE";
    if std::env::var_os(DIE).is_some() {
        let mut process = parent_and_child();
        let child = told(&mut process).await;
        println!("children {} {child}", process.pid());
        std::process::abort();
    }
    let exe = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(exe);
    command.args([
        "--exact",
        "process::a_dying_test_leaves_nothing",
        "--nocapture",
    ]);
    let output = command.env(DIE, "1").output().unwrap();
    assert!(!output.status.success());
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, pids) = output.split_once("children ").expect("two process ids");
    let pids: Vec<&str> = pids.split_whitespace().take(2).collect();
    assert!(
        pids.len() == 2 && pids.iter().all(|pid| is_gone(pid)),
        "{pids:?}"
    );
}

#[tokio::test]
#[should_panic(expected = "ended (exit status: 3) before it was ready:\nout\nerr")]
async fn a_program_that_ends_too_early_shows_its_output() {
    let mut process = Process::command("sh")
        .args(["-c", "echo out; echo err >&2; exit 3"])
        .spawn();
    process.wait_ready(async |_| false).await;
}

#[tokio::test]
async fn signals_arrive() {
    let script = "trap 'echo hup' HUP; trap 'exit 5' TERM; echo up; while :; do sleep 0.01; done";
    let mut process = Process::command("sh").args(["-c", script]).spawn();
    process
        .wait_ready(async |process| process.stdout() == "up\n")
        .await;
    process.hang_up();
    process
        .wait_ready(async |process| process.stdout() == "up\nhup\n")
        .await;
    process.terminate();
    assert_eq!(process.wait(Duration::from_secs(5)).await.code(), Some(5));
}

/// A program that says what tidegate says at its start, with the ports of `upstream`.
fn stand_in(folder: &Path) -> std::path::PathBuf {
    let script = "#!/bin/sh\n\
                  trap 'cat proxy.toml >&2' HUP\n\
                  echo \"INFO listening on $URL\" >&2\n\
                  echo \"INFO admin on $URL\" >&2\n\
                  echo \"$@\" >&2\n\
                  while :; do sleep 0.01; done\n";
    let file = folder.join("stand-in");
    std::fs::write(&file, script).expect("the script is written");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&file, mode).expect("the script is executable");
    file
}

#[tokio::test]
async fn tidegate_is_ready_when_it_says_so() {
    let upstream = Upstream::start().await;
    upstream.put_file("/readyz", Content::Memory(Bytes::from_static(b"ok")));
    let folder = tempfile::tempdir().unwrap();
    let binary = stand_in(folder.path());
    let builder = Tidegate::builder(&binary, "# first\n")
        .env("URL", &upstream.url())
        .arg("-v");
    let mut tidegate = builder.start().await;
    assert_eq!(
        (tidegate.url(), tidegate.admin()),
        (&*upstream.url(), &*upstream.url())
    );
    assert_eq!(tidegate.host(), upstream.host());
    assert_eq!(upstream.count(|it| it.path == "/readyz"), 1);
    tidegate.wait_for_log("serve --config proxy.toml -v").await;
    assert!(tidegate.peak_rss() > 0);
    tidegate.reload("# second\n");
    tidegate.wait_for_log("# second").await;
    tidegate.restart().await;
    assert!(!tidegate.log().contains("# second"));
}
