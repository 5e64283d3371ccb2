use fake_registry::Client;
use fake_registry::DockerRegistry;
use fake_registry::ImageBuilder;
use fake_registry::Push;
use fake_registry::need;

use crate::rig::Rig;
use crate::rig::at;
use crate::rig::set;

/// A registry as people run it: its own pages, its own order.
#[tokio::test]
async fn a_docker_registry_is_listed_and_judged() {
    if !need(&["docker-registry"]) {
        return;
    }
    let registry = DockerRegistry::builder().start().await;
    let push = Push::to(&registry.url(), Client::new());
    let image = ImageBuilder::new(1).layers(1).layer_size(500).build();
    for (repository, tags) in [
        (
            "team/web",
            &["1.9.0", "1.10.0", "1.10.0-alpine", "latest"][..],
        ),
        ("team/db", &["v2", "v3", "main"]),
        ("other/x", &["1"]),
    ] {
        for tag in tags {
            image.push_http(&push, repository, tag).await.unwrap();
        }
    }
    let toml = at("corp.test", &registry.url())
        + &set(
            "latest",
            "from = \"corp.test/team/*\"\ntags = { latest = 1 }",
        )
        + &set(
            "alpine",
            "from = \"corp.test/team/web\"\ntags = { include = \"*-alpine\" }",
        )
        + &set(
            "young",
            "from = \"corp.test/team/web\"\ntags = { since = \"2025-01-01\", semver = \"1\" }",
        )
        + &set(
            "younger",
            "from = \"corp.test/team/web\"\ntags = { since = \"2025-01-02\" }",
        );
    let rig = Rig::new(&toml, &[]).await;
    let latest = rig.discover("latest").await;
    let listed = [
        ("corp.test/team/db".to_owned(), 3),
        ("corp.test/team/web".to_owned(), 4),
    ];
    assert_eq!(latest.listed, listed);
    assert_eq!(
        latest.well(),
        ["corp.test/team/db:v3", "corp.test/team/web:1.10.0"]
    );
    let alpine = rig.discover("alpine").await.well();
    assert_eq!(alpine, ["corp.test/team/web:1.10.0-alpine"]);
    // The images say the first of January 2025.
    let young = rig.discover("young").await.well();
    let both = ["corp.test/team/web:1.10.0", "corp.test/team/web:1.9.0"];
    assert_eq!(young, both);
    assert!(rig.discover("younger").await.well().is_empty());
}
