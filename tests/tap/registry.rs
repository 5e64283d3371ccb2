//! skopeo, with a real registry: the tap's figures are those of the registry's own log.

use fake_registry::DockerRegistry;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::Pki;
use fake_registry::Push;
use fake_registry::need;
use tidegate::ledger::Action;
use tidegate::ledger::End;
use tidegate::ledger::Leg;

use crate::rig::Books;
use crate::rig::Ran;
use crate::rig::Rig;

struct Scene {
    registry: DockerRegistry,
    pki: Pki,
    rig: Rig,
}

impl Scene {
    async fn start() -> Self {
        let pki = Pki::new();
        let registry = DockerRegistry::builder().tls(&pki, &["registry.localhost"]);
        Self {
            registry: registry.start().await,
            pki,
            rig: Rig::new(),
        }
    }

    /// As Go's tools must be told: they never use a proxy for 127.0.0.1 and localhost.
    fn name(&self, repository: &str) -> String {
        let host = self.registry.host();
        let (_, port) = host.rsplit_once(':').unwrap();
        format!("docker://registry.localhost:{port}/{repository}")
    }

    async fn copy(&self, from: &str, to: &str) -> Ran {
        let command = ["skopeo", "copy", "--all", "--quiet", from, to];
        let mut command = command.to_vec();
        command.insert(1, "--insecure-policy");
        let ran = self.rig.run(Some(&self.pki.ca_file()), &command).await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran
    }

    fn dir(&self, name: &str) -> String {
        format!("dir:{}", self.rig.path(name).display())
    }

    /// What the registry says skopeo has asked since `before` requests, beside what the tap has seen
    /// since. How many it has asked until now.
    async fn compare(&self, books: &Books, before: usize) -> usize {
        let seen: Vec<_> = books.exchanges();
        let is_skopeo = |agent: &str| agent.starts_with("skopeo");
        let by_skopeo = |lines: &[fake_registry::Access]| {
            lines
                .iter()
                .filter(|line| is_skopeo(&line.user_agent))
                .count()
                >= before + seen.len()
        };
        self.registry.wait_for(by_skopeo).await;
        let lines = self.registry.access();
        let all = lines.iter().filter(|line| is_skopeo(&line.user_agent));
        let said = all.clone().skip(before);
        let mut said: Vec<_> = said
            .map(|line| {
                // It logs what it would have said, but HEAD has no body.
                let is_head = line.method == "HEAD";
                let bytes = if is_head { 0 } else { line.bytes };
                (line.method.clone(), line.status, bytes, line.path.clone())
            })
            .collect();
        let mut seen: Vec<_> = seen
            .iter()
            .map(|one| {
                let method = one.method.to_string();
                (method, one.status, one.response_bytes, one)
            })
            .collect();
        let key = |(method, status, bytes): (&str, u16, u64)| (method.to_owned(), status, bytes);
        said.sort_by_key(|line| key((&line.0, line.1, line.2)));
        seen.sort_by_key(|one| key((&one.0, one.1, one.2)));
        assert_eq!(said.len(), seen.len(), "{said:#?}\n{seen:#?}");
        for (said, seen) in said.iter().zip(&seen) {
            assert_eq!((&said.0, said.1, said.2), (&seen.0, seen.1, seen.2));
            assert_eq!(seen.3.end, End::Complete);
        }
        all.count()
    }
}

fn image() -> Image {
    ImageBuilder::new(7)
        .platforms(&["linux/amd64", "linux/arm64"])
        .layers(3)
        .layer_size(700_000)
        .build()
}

#[tokio::test]
async fn skopeo_copies_and_every_byte_is_counted() {
    if !need(&["skopeo", "docker-registry"]) {
        return;
    }
    let scene = Scene::start().await;
    let image = image();
    let push = Push::to(&scene.registry.url(), scene.registry.client());
    image.push_http(&push, "a/b", "v1").await.unwrap();
    let ran = scene
        .copy(&scene.name("a/b:v1"), &scene.dir("copied"))
        .await;
    scene.compare(&ran.books, 0).await;

    let receipts = ran.books.exchanges();
    let of = |action: Action| receipts.iter().filter(move |one| one.action == action);
    let bytes = |action| of(action).map(|one| one.response_bytes).sum::<u64>();
    assert_eq!(
        bytes(Action::BlobGet) + bytes(Action::ManifestGet),
        image.size()
    );
    assert_eq!(of(Action::BlobGet).count(), 8);
    assert_eq!(of(Action::ManifestGet).count(), 3);
    assert!(of(Action::BlobGet).all(|one| &*one.repository == "a/b"));
    assert!(of(Action::BlobGet).all(|one| one.reference.starts_with("sha256:")));
    for leg in [Leg::Client, Leg::Tap] {
        let connections = ran.books.connections(leg);
        assert!(connections.iter().all(|one| one.tls));
        let moved = |one: &&tidegate::ledger::Connection| match leg {
            Leg::Client => one.tx,
            _ => one.rx,
        };
        let moved: u64 = connections.iter().map(moved).sum();
        assert!(
            moved > image.size() && moved < image.size() * 11 / 10,
            "{moved}"
        );
    }

    // The summary says the same.
    let row = |name: &str| {
        let start = format!("| {name} ");
        let mut lines = ran.summary.lines();
        let line = lines.find(|line| line.starts_with(&start)).unwrap();
        line.split('|').nth(2).unwrap().trim().to_owned()
    };
    assert_eq!(row("requests"), receipts.len().to_string());
    assert_eq!(row("source blob GETs"), "8");

    // And so does a report of the journal.
    let report = scene.rig.report().await;
    assert_eq!(report["requests"], receipts.len());
    assert_eq!(report["blob_gets"], 8);
    assert_eq!(report["blob_get_bytes"], bytes(Action::BlobGet));
    let all: u64 = receipts.iter().map(|one| one.response_bytes).sum();
    assert_eq!(report["response_bytes"], all);
    assert_eq!(report["runs"], 1);
    assert_eq!(report["warnings"], serde_json::json!([]));
}

#[tokio::test]
async fn skopeo_pushes_and_every_byte_is_counted() {
    if !need(&["skopeo", "docker-registry"]) {
        return;
    }
    let image = image();
    let from = Scene::start().await;
    let push = Push::to(&from.registry.url(), from.registry.client());
    image.push_http(&push, "a/b", "v1").await.unwrap();
    from.copy(&from.name("a/b:v1"), &from.dir("copied")).await;

    // To another registry, where nothing can be mounted: what is there is what is sent.
    let to = Scene::start().await;
    let ran = to.copy(&from.dir("copied"), &to.name("c/d:v2")).await;
    to.compare(&ran.books, 0).await;
    let receipts = ran.books.exchanges();
    let of = |action: Action| receipts.iter().filter(move |one| one.action == action);
    let sent = |action| of(action).map(|one| one.request_bytes).sum::<u64>();
    let all = [
        Action::UploadStart,
        Action::UploadChunk,
        Action::UploadFinish,
        Action::ManifestPut,
    ];
    assert_eq!(all.map(sent).iter().sum::<u64>(), image.size());
    assert_eq!(of(Action::ManifestPut).count(), 3);
    assert_eq!(of(Action::UploadFinish).count(), 8);
    assert!(of(Action::UploadFinish).all(|one| one.status == 201 && &*one.repository == "c/d"));

    // It arrived as it was.
    to.copy(&to.name("c/d:v2"), &to.dir("again")).await;
    for entry in std::fs::read_dir(from.rig.path("copied")).unwrap() {
        let file = entry.unwrap().path();
        let again = to.rig.path("again").join(file.file_name().unwrap());
        let same = std::fs::read(&file).unwrap() == std::fs::read(again).unwrap();
        assert!(same, "{file:?}");
    }
}

/// From repository to repository of the same registry, blobs are mounted.
#[tokio::test]
async fn mounts_are_seen_with_their_answers() {
    if !need(&["skopeo", "docker-registry"]) {
        return;
    }
    let scene = Scene::start().await;
    let push = Push::to(&scene.registry.url(), scene.registry.client());
    image().push_http(&push, "a/b", "v1").await.unwrap();
    // It remembers where it saw a blob, and mounts it from there the next time.
    let seen = scene.copy(&scene.name("a/b:v1"), &scene.dir("seen")).await;
    let before = scene.compare(&seen.books, 0).await;
    let ran = scene
        .copy(&scene.name("a/b:v1"), &scene.name("c/d:v1"))
        .await;
    scene.compare(&ran.books, before).await;
    let receipts = ran.books.exchanges();
    let mounts: Vec<_> = receipts
        .iter()
        .filter_map(|one| one.mount.as_ref())
        .collect();
    // The layers, that is; it reads and writes configurations itself.
    assert_eq!(mounts.len(), 6, "{receipts:#?}");
    for mount in mounts {
        assert!(mount.accepted && &*mount.from == "a/b", "{mount:?}");
    }
    let blobs = receipts.iter().filter(|one| one.action == Action::BlobGet);
    assert_eq!(blobs.count(), 2);
}
