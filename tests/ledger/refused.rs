//! A journal that can't be used is told before anything is served; a running one is shown.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use fake_registry::Client;
use fake_registry::Process;
use fake_registry::Tidegate;
use fake_registry::Upstream;
use tempfile::TempDir;
use tidegate::ledger::Leg;

use crate::scene::NAME;
use crate::scene::Scene;
use crate::scene::Settings;
use crate::scene::read;

const NOWHERE: &str = "http://127.0.0.1:1";

/// What a command says that fails with `code`.
async fn failed(mut process: Process, code: i32) -> String {
    let status = process.wait(Duration::from_secs(30)).await;
    assert_eq!(status.code(), Some(code), "{}", process.stderr());
    process.stderr()
}

fn check(folder: &TempDir) -> Process {
    Process::command(env!("CARGO_BIN_EXE_tidegate"))
        .args(["check", "--offline"])
        .folder(folder.path())
        .spawn()
}

#[tokio::test]
async fn a_journal_that_can_not_be_opened_is_named_and_nothing_starts() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("journal.jsonl"), "somebody's text\n").unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    let usual = Settings::default().config(NOWHERE);
    for (path, why) in [
        ("journal.jsonl", "it is there, and no journal"),
        ("none/journal.jsonl", "No such file"),
        ("folder", "Is a directory"),
    ] {
        let config = usual.replace("journal.jsonl", path);
        let serve = Tidegate::builder(env!("CARGO_BIN_EXE_tidegate"), &config);
        let serving = serve.spawn(folder.path());
        for said in [failed(serving, 2).await, failed(check(&folder), 2).await] {
            assert!(said.starts_with("error: the journal "), "{said}");
            assert!(said.contains(path) && said.contains(why), "{said}");
        }
    }
}

#[tokio::test]
async fn a_journal_has_one_writer_and_a_check_beside_it_is_well() {
    let mut scene = Scene::start(NOWHERE, Settings::default()).await;
    let journal = scene.tidegate.folder().join("journal.jsonl");
    let other = TempDir::new().unwrap();
    let path = journal.to_str().unwrap();
    let config = Settings::default()
        .config(NOWHERE)
        .replace("journal.jsonl", path);
    let second = Tidegate::builder(env!("CARGO_BIN_EXE_tidegate"), &config).spawn(other.path());
    let said = failed(second, 3).await;
    assert!(said.contains("another process writes it"), "{said}");
    let mut check = check(&other);
    let status = check.wait(Duration::from_secs(30)).await;
    assert_eq!(status.code(), Some(0), "{}", check.stderr());
    let line = format!("ok      journal: {path} can be written");
    assert!(check.stdout().contains(&line), "{}", check.stdout());
    assert_eq!(scene.end().await.0.len(), 1);
}

#[tokio::test]
async fn the_status_shows_it_and_a_reload_says_that_it_waits_for_a_restart() {
    let upstream = Upstream::start().await;
    let mut scene = Scene::start(&upstream.url(), Settings::default()).await;
    let client = Client::new();
    let url = format!("{}/v2/{NAME}/manifests/x", scene.tidegate.url());
    client.get(url).send().await.unwrap().bytes().await.unwrap();
    let status = format!("{}/api/v1/status", scene.tidegate.admin());
    let journal = loop {
        let status = client
            .get(&status)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        // One exchange with a client, and one with the upstream at least.
        if status["journal"]["written"].as_u64() >= Some(2) {
            break status["journal"].clone();
        }
    };
    assert!(journal["path"].as_str().unwrap().ends_with("journal.jsonl"));
    assert_eq!(
        (&journal["dropped"], &journal["problem"]),
        (&0.into(), &().into())
    );
    let usual = Settings::default().config(&upstream.url());
    let config = usual.replace("journal = \"journal.jsonl\"", "journal_files = 3");
    scene.tidegate.reload(&config);
    let said = "a restart is needed for the new ledger.journal, ledger.journal_files";
    scene.tidegate.wait_for_log(said).await;
}

#[tokio::test]
async fn after_a_kill_the_journal_goes_on_and_holds_what_was_flushed() {
    let upstream = Upstream::start().await;
    let mut scene = Scene::start(&upstream.url(), Settings::default()).await;
    let client = Client::builder().fresh_connections().build();
    let ask = async |scene: &Scene, tag: &str| {
        let url = format!("{}/v2/{NAME}/manifests/{tag}", scene.tidegate.url());
        client.get(url).send().await.unwrap().bytes().await.unwrap();
    };
    ask(&scene, "before").await;
    let path = scene.tidegate.folder().join("journal.jsonl");
    // Whatever was entered is in the file within a tenth of a second or so.
    while fs::read_to_string(&path)
        .unwrap()
        .matches("\"before\"")
        .count()
        < 2
    {
        tokio::task::yield_now().await;
    }
    scene.tidegate.restart().await;
    ask(&scene, "after").await;
    scene.end().await;
    let text = fs::read_to_string(&path).unwrap();
    for tag in ["before", "after"] {
        assert!(text.matches(&format!("{tag:?}")).count() >= 2, "{text}");
    }
    assert_eq!(text.matches("\"kind\":\"journal\"").count(), 2, "{text}");
    read(&path);
}

#[tokio::test]
async fn where_the_disk_takes_nothing_requests_are_served_and_the_journal_heals() {
    let upstream = Upstream::start().await;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("journal.jsonl");
    symlink("/dev/full", &path).unwrap();
    let config = Settings::default().config(&upstream.url());
    let tidegate = Tidegate::builder(env!("CARGO_BIN_EXE_tidegate"), &config)
        .folder(&folder)
        .start()
        .await;
    let mut scene = Scene { tidegate };
    let client = Client::new();
    let url = format!("{}/v2/{NAME}/manifests/x", scene.tidegate.url());
    let status = format!("{}/api/v1/status", scene.tidegate.admin());
    let problem = async || {
        let status = client.get(&status).send().await.unwrap().json().await;
        status.unwrap()["journal"]["problem"].clone()
    };
    client
        .get(&url)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    while !problem().await.is_string() {}
    assert_eq!(client.get(&url).send().await.unwrap().status, 404);
    let (file, link) = (folder.path().join("real"), folder.path().join("link"));
    fs::write(&file, "").unwrap();
    symlink(&file, &link).unwrap();
    fs::rename(&link, &path).unwrap();
    scene.tidegate.wait_for_log("is being written again").await;
    assert!(problem().await.is_null());
    let books = scene.end().await;
    assert_eq!(books.exchanges(Leg::Client).len(), 2);
    let said = scene.tidegate.log().matches("can't be written").count();
    assert_eq!(said, 1, "{}", scene.tidegate.log());
}
