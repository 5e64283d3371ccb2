//! A command that runs through the tap: it is left alone, and measured.

use std::time::Duration;

use fake_registry::Process;

use crate::rig::Rig;

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_exit_code_is_passed_on() {
    let rig = Rig::new();
    let run = async |command: &[&str]| rig.run(None, command).await;
    assert_eq!(run(&["true"]).await.code, 0);
    assert_eq!(run(&["sh", "-c", "exit 7"]).await.code, 7);
    let killed = run(&["sh", "-c", "kill -KILL $$"]).await;
    assert_eq!((killed.code, killed.books.run().exit_code), (137, 137));
    let none = run(&["there-is-no-such-command"]).await;
    assert_eq!(none.code, 127);
    assert!(
        none.stderr.contains("there-is-no-such-command"),
        "{}",
        none.stderr
    );
    assert_eq!(run(&["/etc/passwd"]).await.code, 126);
}

#[tokio::test]
async fn standard_streams_are_the_commands_own() {
    let rig = Rig::new();
    let ran = rig
        .run(None, &["sh", "-c", "cat; echo out; echo err >&2"])
        .await;
    assert_eq!(ran.stdout, "out\n");
    assert!(ran.stderr.contains("err\n"), "{}", ran.stderr);
}

#[tokio::test]
async fn signals_are_passed_on() {
    for (name, number) in [
        ("INT", 2),
        ("TERM", 15),
        ("HUP", 1),
        ("QUIT", 3),
        ("USR1", 10),
    ] {
        let rig = Rig::new();
        let script =
            format!("trap 'echo got; exit 9' {name}; echo ready; while :; do sleep 0.1; done");
        let mut tap = rig.tap(&["--", "sh", "-c", &script]).spawn();
        tap.wait_ready(async |process| process.stdout() == "ready\n")
            .await;
        let status = std::process::Command::new("kill")
            .args([&format!("-{number}"), &tap.pid().to_string()])
            .status();
        assert!(status.unwrap().success());
        assert_eq!(tap.wait(LIMIT).await.code(), Some(9), "{name}");
        assert_eq!(tap.stdout(), "ready\ngot\n");
        assert_eq!(rig.take_books().run().exit_code, 9);
    }
}

#[tokio::test]
async fn the_environment_leads_to_the_tap_and_trusts_it() {
    let rig = Rig::new();
    let script = "env; for f in \"$SSL_CERT_FILE\" \"$SSL_CERT_DIR\"/*; do \
                  grep -c BEGIN \"$f\"; done";
    let mut tap = rig.tap(&["--", "sh", "-c", script]);
    tap = tap.env("NO_PROXY", "*").env("no_proxy", "localhost");
    let mut tap = tap.spawn();
    assert!(tap.wait(LIMIT).await.success());
    let said = tap.stdout();
    let value = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.strip_prefix('='))
            .map(str::to_owned)
    };
    let proxy = value("HTTPS_PROXY").unwrap();
    assert!(proxy.starts_with("http://127.0.0.1:"), "{proxy}");
    for name in ["HTTP_PROXY", "http_proxy", "https_proxy"] {
        assert_eq!(value(name).as_ref(), Some(&proxy), "{name}");
    }
    for name in ["NO_PROXY", "no_proxy"] {
        assert_eq!(value(name), None);
    }
    let bundle = value("SSL_CERT_FILE").unwrap();
    for name in [
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "REQUESTS_CA_BUNDLE",
        "GIT_SSL_CAINFO",
    ] {
        assert_eq!(value(name).as_ref(), Some(&bundle), "{name}");
    }
    // It went with the command.
    assert!(!std::path::Path::new(&bundle).exists());
    let counts: Vec<_> = said.lines().rev().take(2).collect();
    assert!(counts[0] == counts[1] && counts[0] != "0", "{counts:?}");
}

/// Its own, and its children's.
#[tokio::test]
async fn time_and_memory_are_those_of_all_its_processes() {
    let rig = Rig::new();
    let hold = |mib: usize| format!("head -c {}M /dev/zero | tail -c {}M > /dev/null", mib, mib);
    let script = format!("({}) & ({}) & wait", hold(150), hold(150));
    let ran = rig.run(None, &["sh", "-c", &script]).await;
    let run = ran.books.run();
    assert!(run.peak_rss > 120 << 20, "{run:#?}");
    assert!(run.peak_rss < 1 << 30, "{run:#?}");
    assert!(run.cpu > Duration::from_millis(10), "{run:#?}");
    assert!(run.duration >= run.cpu / 16, "{run:#?}");
    assert_eq!(run.command[..2], ["sh", "-c"]);
}

#[tokio::test]
async fn secrets_are_not_in_the_journal() {
    let rig = Rig::new();
    let ran = rig
        .run(
            None,
            &["true", "--password", "hunter2", "--creds=me:hunter2"],
        )
        .await;
    let run = ran.books.run();
    assert_eq!(run.command, ["true", "--password", "***", "--creds=***"]);
}

#[tokio::test]
async fn a_port_that_is_taken_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let rig = Rig::new();
    let mut tap = rig.tap(&["--listen", &address]).spawn();
    assert_eq!(tap.wait(LIMIT).await.code(), Some(3));
    let said = tap.stderr();
    assert!(
        said.contains(&address) && said.contains("--listen"),
        "{said}"
    );
}

#[tokio::test]
async fn a_folder_that_can_t_be_used_is_said() {
    let rig = Rig::new();
    let tap = |folder: &str| {
        Process::command(env!("CARGO_BIN_EXE_tidegate"))
            .args(["tap", "--ca-dir", folder, "--", "true"])
            .folder(rig.folder.path())
            .spawn()
    };
    // Even root can't write there.
    let mut unwritable = tap("/proc/tap");
    assert_eq!(unwritable.wait(LIMIT).await.code(), Some(2));
    let said = unwritable.stderr();
    assert!(
        said.contains("/proc/tap") && said.contains("can't be written"),
        "{said}"
    );

    // A key that others can read, and one that is another's.
    assert_eq!(rig.run(None, &["true"]).await.code, 0);
    let folder = rig.path("ca");
    let key = folder.join("ca.key");
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&key), mode(&folder)), (0o600, 0o700));
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    }
    let mut open = tap(folder.to_str().unwrap());
    assert_eq!(open.wait(LIMIT).await.code(), Some(2));
    assert!(
        open.stderr().contains("others may read it"),
        "{}",
        open.stderr()
    );
    std::fs::remove_file(&key).unwrap();
    let mut lost = tap(folder.to_str().unwrap());
    assert_eq!(lost.wait(LIMIT).await.code(), Some(2));
    assert!(lost.stderr().contains("ca.key"), "{}", lost.stderr());
}

/// Another start finds what the first has made, and many at once make one.
#[tokio::test]
async fn the_authority_is_made_once() {
    let rig = Rig::new();
    let start = |number: usize| {
        Process::command(env!("CARGO_BIN_EXE_tidegate"))
            .args(["tap", "--ca-dir"])
            .arg(rig.path("ca"))
            .args(["--", "sh", "-c", "head -n 14 \"$SSL_CERT_FILE\""])
            .env("NUMBER", number.to_string())
            .spawn()
    };
    let mut said = std::collections::BTreeSet::new();
    for mut tap in (0..4).map(start).collect::<Vec<_>>() {
        assert!(tap.wait(LIMIT).await.success(), "{}", tap.stderr());
        let first = tap.stdout();
        let (certificate, _) = first.split_once("-----END").unwrap();
        said.insert(certificate.to_owned());
    }
    assert_eq!(said.len(), 1, "{said:#?}");
    let file = std::fs::read_to_string(rig.ca()).unwrap().replace('\r', "");
    assert!(file.starts_with(said.first().unwrap().as_str()));
}
