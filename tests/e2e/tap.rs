//! dockerd behind the tap: a daemon, which nobody starts by the tap, and which is told of it.

use std::path::Path;
use std::time::Duration;

use fake_registry::DockerRegistry;
use fake_registry::ImageBuilder;
use fake_registry::Pki;
use fake_registry::Process;
use fake_registry::Push;
use tempfile::TempDir;
use tidegate::ledger::End;
use tidegate::ledger::Receipt;
use tidegate::ledger::Record;

use crate::dockerd::Dockerd;
use crate::layout::architecture;
use crate::need::need;
use crate::sandbox;
use crate::scene::TIDEGATE;

/// Method, status and body bytes.
type Line = (String, u16, u64);

#[tokio::test(flavor = "multi_thread")]
async fn what_docker_pulls_is_counted_as_the_registry_counts() {
    if !need(&["dockerd", "docker", "docker-registry"]) {
        return;
    }
    let pki = Pki::new();
    let registry = DockerRegistry::builder().tls(&pki, &["registry.localhost"]);
    let registry = registry.start().await;
    let own = format!("linux/{}", architecture());
    let image = ImageBuilder::new(3).layer_size(300_000);
    let image = image.platforms(&[&own, "linux/s390x"]).build();
    let push = Push::to(&registry.url(), registry.client());
    image.push_http(&push, "demo/app", "v1").await.unwrap();
    let folder = TempDir::with_prefix("tap-").unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("daemon.json"), "{}").unwrap();

    let (mut tap, proxy) = start(folder.path(), &pki.ca_file()).await;
    let engine = Dockerd::start_behind(Some(&proxy), &at("daemon.json"), &at("ca/ca.crt")).await;
    let host = registry.host();
    let (_, port) = host.rsplit_once(':').unwrap();
    let name = format!("registry.localhost:{port}/demo/app:v1");
    sandbox::run(engine.docker(["pull", "--quiet", &name])).await;
    engine.inspect(&name).await;
    drop(engine);
    tap.terminate();
    let status = tap.wait(Duration::from_secs(60)).await;
    assert!(status.success(), "{}", tap.stderr());

    let receipts = receipts(&std::fs::read_to_string(at("journal.jsonl")).unwrap());
    for receipt in &receipts {
        assert_eq!(receipt.end, End::Complete, "{receipt:#?}");
    }
    let mut counted: Vec<Line> = receipts
        .iter()
        .map(|one| (one.method.to_string(), one.status, one.response_bytes))
        .collect();
    let by_docker = |log: &[fake_registry::Access]| {
        let by_docker = log
            .iter()
            .filter(|line| line.user_agent.contains("docker/"));
        let lines = by_docker.map(|line| {
            // It logs what it would have said, but HEAD has no body.
            let bytes = if line.method == "HEAD" { 0 } else { line.bytes };
            (line.method.clone(), line.status, bytes)
        });
        lines.collect::<Vec<Line>>()
    };
    registry
        .wait_for(|log| by_docker(log).len() >= counted.len())
        .await;
    let mut said = by_docker(&registry.access());
    counted.sort();
    said.sort();
    assert_eq!(counted, said, "{}", registry.log());
    assert!(counted.iter().map(|line| line.2).sum::<u64>() > 300_000);
}

/// A tap that keeps its files in `folder`, and where it listens.
async fn start(folder: &Path, upstream_ca: &Path) -> (Process, String) {
    let mut tap = Process::command(TIDEGATE)
        .args(["tap", "--listen", "127.0.0.1:0", "--journal"])
        .arg(folder.join("journal.jsonl"))
        .arg("--ca-dir")
        .arg(folder.join("ca"))
        .arg("--upstream-ca")
        .arg(upstream_ca)
        .spawn();
    let listening = |process: &Process| {
        let log = process.stderr();
        let (_, rest) = log.split_once("listening on ")?;
        let (url, _) = rest.split_once('\n')?;
        Some(url.trim().to_owned())
    };
    tap.wait_ready(async |process| listening(process).is_some())
        .await;
    let proxy = listening(&tap).unwrap();
    (tap, proxy)
}

fn receipts(journal: &str) -> Vec<Receipt> {
    let records = journal
        .lines()
        .map(|line| serde_json::from_str::<Record>(line).unwrap());
    let all = records.filter_map(|record| match record {
        Record::Exchange(receipt) => Some(receipt),
        _ => None,
    });
    all.collect()
}
