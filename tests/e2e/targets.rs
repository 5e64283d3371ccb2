//! What is pulled is teed into two real registries, each blob uploaded once and mounted everywhere
//! else: counted by their access logs.

use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use fake_registry::Image;
use fake_registry::ImageBuilder;
use tempfile::TempDir;

use crate::dockerd::Dockerd;
use crate::fleet::Fleet;
use crate::fleet::Settings;
use crate::fleet::UPSTREAM;
use crate::fleet::said_of_target;
use crate::layout::Platforms;
use crate::layout::architecture;
use crate::layout::assert_blobs;
use crate::mirror::ARRIVAL;
use crate::mirror::Mirror;
use crate::need::need;
use crate::sandbox;
use crate::scene::Scene;
use crate::scene::TIDEGATE;
use crate::skopeo;
use crate::upstream::Upstream;
use crate::upstream::trusting;

/// How often what nobody tells is looked at.
const GLANCE: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn docker_pulls_and_two_targets_have_it_at_the_same_moment() {
    if !need(&["dockerd", "docker", "skopeo", "docker-registry"]) {
        return;
    }
    let upstream = Upstream::start().await;
    let own = format!("linux/{}", architecture());
    // Shares the lowest layer with the image that is there.
    let second = ImageBuilder::new(2)
        .base(7, 1)
        .layers(1)
        .platforms(&[&own])
        .build();
    upstream.add("demo/second", "v1", &second).await;
    let mirrors = [
        Mirror::start("one", upstream.pki()).await,
        Mirror::start("two", upstream.pki()).await,
    ];
    let ca = upstream.ca();
    let tables: String = mirrors.iter().map(|it| it.table(&ca, "")).collect();
    let table = upstream.table("127.0.0.1", &ca) + &tables;
    let scene = Scene::before(upstream, &table, "").await;
    let files = scene.recipe("docker", scene.verified_url()).await;
    let engine = Dockerd::start(&files.join("etc/docker/daemon.json"), &ca).await;

    pull(&engine, "demo/app:v1").await;
    arrived(&mirrors, "demo/app", &scene.direct().digest).await;
    let manifests = 1 + 3;
    let blobs = scene.direct().part(Platforms::All).len() - manifests;
    for mirror in &mirrors {
        let asked = mirror.asked_with(manifests).await;
        asked.assert_least((blobs, manifests, 0));
        let place = Mirror::place("docker.io", "demo/app");
        let copied = TempDir::with_prefix("from-target-").unwrap();
        let source = format!("docker://{}/{place}:v1", mirror.registry.host());
        let copy = skopeo::copy_all(&source, copied.path());
        sandbox::run(trusting(copy, &ca)).await;
        assert_blobs(&scene.direct().part(Platforms::All), copied.path());
    }

    pull(&engine, "demo/second:v1").await;
    arrived(&mirrors, "demo/second", second.digest()).await;
    for mirror in &mirrors {
        let asked = mirror.asked_with(manifests + 2).await;
        asked.assert_least((blobs + second.blobs.len() - 1, manifests + 2, 1));
    }
}

async fn pull(engine: &Dockerd, image: &str) {
    sandbox::run(engine.docker(["pull", "--quiet", image])).await;
}

/// Waits until both have the tag `v1`, and tells how long that was after the client's end.
async fn arrived(mirrors: &[Mirror; 2], name: &str, digest: &str) {
    let (ended, place) = (Instant::now(), Mirror::place("docker.io", name));
    for mirror in mirrors {
        let registry = &mirror.registry;
        registry.wait_for_tag((&place, "v1"), digest, ARRIVAL).await;
        eprintln!(
            "{place} is there {:?} after the client's end",
            ended.elapsed()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corpus_takes_the_least_possible_requests() {
    if !need(&["docker-registry"]) {
        return;
    }
    let fleet = Fleet::start(Settings::default()).await;
    let images = fleet.images();
    fleet.pull(&images).await.unwrap();
    fleet.arrived(&images).await;
    assert_least(&fleet).await;
    let gets = |it: &fake_registry::Access| it.method == "GET" && it.path.contains("/blobs/");
    let gets = fleet.source.access().into_iter().filter(gets).count();
    assert_eq!(gets, fleet.extent.blobs, "a blob was fetched twice");
}

/// Both targets were asked the least possible, for all of the corpus.
async fn assert_least(fleet: &Fleet) {
    let extent = fleet.extent;
    for mirror in &fleet.mirrors {
        let asked = mirror.asked_with(extent.manifests).await;
        asked.assert_least((extent.blobs, extent.manifests, extent.mounts()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_half_way_forgets_nothing() {
    if !need(&["docker-registry"]) {
        return;
    }
    let mut fleet = Fleet::start(Settings::default()).await;
    let corpus = fleet.corpus.clone();
    let images: Vec<_> = corpus.images().collect();
    let (first, second) = images.split_at(images.len() / 2);
    fleet.pull(first).await.unwrap();
    fleet.end_and_start().await;
    fleet.pull(second).await.unwrap();
    fleet.arrived(&images).await;
    // What was begun at the end may have to be begun again, which is a request more.
    for mirror in &fleet.mirrors {
        let asked = mirror.asked_with(fleet.extent.manifests).await;
        asked.assert_each_uploaded_once();
        assert_eq!(asked.uploads().len(), fleet.extent.blobs);
        assert!(
            asked.mounts() >= fleet.extent.mounts(),
            "{}",
            asked.mounts()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_uploads_only_the_last_blobs_twice() {
    if !need(&["docker-registry"]) {
        return;
    }
    let mut fleet = Fleet::start(Settings::default()).await;
    let corpus = fleet.corpus.clone();
    let images: Vec<_> = corpus.images().collect();
    let enough = fleet.extent.least_requests() / 3;
    let killed = async {
        let first = &fleet.mirrors[0];
        let middle = |_: &[fake_registry::Access]| first.asked().total() > enough;
        first.registry.wait_for(middle).await;
    };
    tokio::select! {
        pulled = fleet.pull(&images) => panic!("it was too quick to be killed: {pulled:?}"),
        () = killed => {}
    }
    fleet.proxy.restart().await;
    fleet.pull(&images).await.unwrap();
    fleet.arrived(&images).await;
    for mirror in &fleet.mirrors {
        let asked = mirror.asked_with(fleet.extent.manifests).await;
        // What it was just uploading it may not have noted yet.
        let twice = asked.uploads().len() - fleet.extent.blobs;
        assert!(twice <= UPLOADS, "{twice} blobs were uploaded twice");
    }
}

/// How many uploads to a target are under way at the same time, at most.
const UPLOADS: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_down_gets_it_later() {
    if !need(&["docker-registry"]) {
        return;
    }
    let mut fleet = Fleet::start(Settings::default()).await;
    fleet.mirrors[1].stop();
    let corpus = fleet.corpus.clone();
    let all: Vec<_> = corpus.images().collect();
    let images = &all[..3];
    fleet.pull(images).await.unwrap();
    for (name, tag, image) in images {
        let place = Mirror::place(UPSTREAM, name);
        let there = &fleet.mirrors[0].registry;
        there
            .wait_for_tag((&place, tag), image.digest(), ARRIVAL)
            .await;
    }
    let owed = owed(&fleet, "two", |owed| owed > 0).await;
    assert!(owed.contains("two"), "{owed}");
    fleet.mirrors[1].start_again().await;
    fleet.arrived(images).await;
    let settled = self::owed(&fleet, "two", |owed| owed == 0).await;
    assert!(settled.contains("two"), "{settled}");
}

/// What `tidegate target status` says once the API says that as much as `enough` is owed to
/// `target`.
async fn owed(fleet: &Fleet, target: &str, enough: impl Fn(u64) -> bool) -> String {
    let deadline = Instant::now() + ARRIVAL;
    loop {
        let said = said_of_target(&fleet.proxy, target).await;
        if said["owed"].as_u64().is_some_and(&enough) {
            break;
        }
        assert!(Instant::now() < deadline, "{said:#}");
        tokio::time::sleep(GLANCE).await;
    }
    let mut status = Command::new(TIDEGATE);
    status
        .args(["target", "status", "--config"])
        .arg(fleet.folder().join("proxy.toml"));
    sandbox::run(status).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_the_target_is_read() {
    if !need(&["docker-registry"]) {
        return;
    }
    let settings = Settings {
        store: "enabled = false",
        target: "read = true",
    };
    let fleet = Fleet::start(settings).await;
    let all = fleet.images();
    let images: &[(&str, &str, &Image)] = &all[..4];
    fleet.pull(images).await.unwrap();
    fleet.arrived(images).await;
    let before = blob_gets(&fleet.source.access());
    fleet.pull(images).await.unwrap();
    assert_eq!(
        blob_gets(&fleet.source.access()),
        before,
        "the upstream was asked again"
    );
    let read: usize = fleet
        .mirrors
        .iter()
        .map(|mirror| blob_gets(&mirror.registry.access()))
        .sum();
    assert!(read > 0, "no target was read");
}

fn blob_gets(log: &[fake_registry::Access]) -> usize {
    let is_get = |it: &&fake_registry::Access| it.method == "GET" && it.path.contains("/blobs/");
    log.iter().filter(is_get).count()
}
