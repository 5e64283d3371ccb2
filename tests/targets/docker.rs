//! Debian's docker-registry as a target.

use fake_registry::Access;
use fake_registry::Corpus;
use fake_registry::DockerRegistry;
use fake_registry::Gate;
use fake_registry::ImageBuilder;
use fake_registry::need;
use tidegate::oci::media;

use crate::rig::NAME;
use crate::rig::Rig;
use crate::rig::config;
use crate::rig::pulled;
use crate::rig::there;
use crate::shelf::shelf;

/// How many requests of `method` whose path has `part` were answered with `status`.
fn count(access: &[Access], method: &str, part: &str, status: u16) -> usize {
    let same = |it: &&Access| it.method == method && it.path.contains(part) && it.status == status;
    access.iter().filter(same).count()
}

#[tokio::test]
async fn a_corpus_ends_in_docker_registry_at_the_least_cost() {
    if !need(&["docker-registry"]) {
        return;
    }
    let registry = DockerRegistry::builder().start().await;
    let corpus = Corpus::new(3, 2 << 20);
    let images = shelf(corpus.images().map(|(_, _, image)| image));
    let rig = Rig::with(vec![config(NAME, &registry.url())], images);
    rig.start();
    for (name, tag, image) in corpus.images() {
        rig.pull(name, tag, image);
    }
    rig.done().await;
    let extent = corpus.extent();
    registry
        .wait_for(|access| access.len() >= extent.least_requests())
        .await;
    let access = registry.access();
    assert_eq!(access.len(), extent.least_requests());
    assert_eq!(
        count(&access, "POST", "/blobs/uploads/", 201),
        extent.mounts()
    );
    assert_eq!(count(&access, "PUT", "/blobs/uploads/", 201), extent.blobs);
    let client = registry.client();
    for (name, tag, image) in corpus.images() {
        let url = format!("{}/v2/{}/manifests/{tag}", registry.url(), there(name));
        let get = client.get(url).header("Accept", media::ACCEPT_NATIVE);
        let got = get.send().await.unwrap().bytes().await.unwrap();
        assert!(got == image.root.bytes, "{name}:{tag} is another manifest");
    }
    let (name, _, image) = corpus.images().last().unwrap();
    for blob in &image.blobs {
        let url = format!(
            "{}/v2/{}/blobs/{}",
            registry.url(),
            there(name),
            blob.digest
        );
        let got = client.get(url).send().await.unwrap().bytes().await.unwrap();
        assert!(
            got == blob.bytes,
            "{name} has other bytes as {}",
            blob.digest
        );
    }
    rig.close().await;
}

/// The registry ends in mid-upload, and comes again: all is there in the end.
#[tokio::test]
async fn docker_registry_may_be_restarted_in_mid_upload() {
    if !need(&["docker-registry"]) {
        return;
    }
    let mut registry = DockerRegistry::builder().start().await;
    let image = ImageBuilder::new(1).layer_size(300_000).build();
    let rig = Rig::with(vec![config(NAME, &registry.url())], shelf([&image]));
    let gate = Gate::new();
    rig.shelf.hold(&image.layers("linux/amd64")[1], &gate);
    rig.start();
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    registry
        .wait_for(|access| count(access, "PUT", "/blobs/uploads/", 201) == 2)
        .await;
    registry.stop();
    gate.open();
    rig.until("the target is out", |state| state.outage.is_some())
        .await;
    assert_eq!(rig.state().owed, 1);
    registry.restart().await;
    rig.done().await;
    let url = format!("{}/v2/{}/manifests/1", registry.url(), there("app"));
    let get = registry
        .client()
        .get(url)
        .header("Accept", media::OCI_MANIFEST);
    let got = get.send().await.unwrap().bytes().await.unwrap();
    assert!(got == image.root.bytes);
    rig.close().await;
}
