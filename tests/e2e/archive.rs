//! docker loads the archives that we write, and we read what it saves.

use std::path::Path;
use std::process::Command;

use fake_registry::ImageBuilder;
use fake_registry::Pki;
use tempfile::TempDir;

use crate::dockerd::Dockerd;
use crate::layout::Layout;
use crate::layout::architecture;
use crate::need::need;
use crate::sandbox;

fn copy(folder: &Path, source: &str, target: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["copy", source, target]).current_dir(folder);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_loads_and_saves_the_same_image() {
    if !need(&["dockerd", "docker"]) {
        return;
    }
    let folder = TempDir::with_prefix("archive-").unwrap();
    let at = |name: &str| folder.path().join(name);
    let own = format!("linux/{}", architecture());
    let image = ImageBuilder::new(51)
        .layers(3)
        .platforms(&["linux/s390x", &own])
        .build();
    image.write_oci_layout(at("in"), "v1").unwrap();
    let expected = Layout::read(&at("in")).own();
    sandbox::run(copy(
        folder.path(),
        "oci:in",
        "docker-archive:in.tar:demo/app:v1",
    ))
    .await;

    std::fs::write(at("daemon.json"), "{}").unwrap();
    let engine = Dockerd::start(&at("daemon.json"), &Pki::new().ca_file()).await;
    let file = at("in.tar");
    sandbox::run(engine.docker(["load", "--input", file.to_str().unwrap()])).await;
    let found = engine.inspect("demo/app:v1").await;
    let layers = found["RootFS"]["Layers"].as_array().unwrap();
    let layers: Vec<&str> = layers.iter().filter_map(|layer| layer.as_str()).collect();
    assert_eq!(layers, expected.diff_ids);

    let file = at("saved.tar");
    sandbox::run(engine.docker(["save", "--output", file.to_str().unwrap(), "demo/app:v1"])).await;
    let named = "docker-archive:saved.tar:demo/app:v1";
    sandbox::run(copy(folder.path(), named, "oci:out")).await;
    // And on, into an archive: the image is still the same one.
    sandbox::run(copy(
        folder.path(),
        "oci:out",
        "docker-archive:again.tar:demo/again:v1",
    ))
    .await;
    let file = at("again.tar");
    sandbox::run(engine.docker(["load", "--input", file.to_str().unwrap()])).await;
    let again = engine.inspect("demo/again:v1").await;
    assert_eq!(again["Id"], found["Id"]);
}
