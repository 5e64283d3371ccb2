//! The built proxy with targets, and without a store of its own.

use std::process::Command;

use fake_registry::Client;
use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::Target;
use fake_registry::Tidegate;
use fake_registry::Upstream;
use fake_registry::When;
use fake_registry::lines;
use tidegate::oci::media;

const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");
const AMD: &str = "linux/amd64";
const PLACE: &str = "mirror/up.test/demo/app";

fn config(up: &Upstream, store: &str, targets: &[(&str, &Target)]) -> String {
    let mut config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
         [store]\npath = \"data\"\n{store}\n\
         [[upstream]]\nname = \"up.test\"\nurl = \"{}\"\nplain_http = true\ndefault = true\n",
        up.url()
    );
    for (name, target) in targets {
        let url = target.url();
        config.push_str(&format!(
            "[[target]]\nname = \"{name}\"\nurl = \"{url}\"\nplain_http = true\n\
             repository = \"mirror/{{upstream}}/{{repository}}\"\nread = true\n"
        ));
    }
    config
}

fn image(seed: u64) -> Image {
    let builder = ImageBuilder::new(seed).layers(3).layer_size(1 << 20);
    builder.platforms(&[AMD]).build()
}

async fn pull(proxy: &Tidegate, image: &Image) {
    let client = Client::new();
    let own = image.manifest(AMD).expect("a platform").digest.clone();
    let manifests = ["v1", &own].map(|it| format!("manifests/{it}"));
    let blobs = image.layers(AMD).into_iter();
    let wanted = manifests
        .into_iter()
        .zip([image.digest().to_owned(), own.clone()]);
    let blobs = blobs.map(|digest| (format!("blobs/{digest}"), digest));
    for (what, digest) in wanted.chain(blobs) {
        let url = format!("{}/v2/demo/app/{what}", proxy.url());
        let request = client.get(url).header("accept", media::ACCEPT_NATIVE);
        let reply = request.send().await.expect("an answer");
        assert_eq!(reply.digest().await.unwrap(), digest);
    }
}

/// Waits until the target was given the tag.
async fn tagged(target: &Target) {
    let is_tag = |it: &fake_registry::Recorded| {
        it.method.as_str() == "PUT"
            && it.path.ends_with("/manifests/v1")
            && it.status.is_some_and(|it| it == 201)
    };
    target.wait_for(|log| log.iter().any(is_tag)).await;
}

fn is_whole(target: &Target, image: &Image) -> bool {
    let blobs = image.layers(AMD);
    blobs.iter().all(|blob| target.holds(PLACE, blob))
        && target.tag(PLACE, "v1").as_deref() == Some(image.digest())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kill_leaves_owed_is_done_at_the_next_start() {
    let (up, target) = (Upstream::start().await, Target::start().await);
    let image = image(9201);
    image.push_to(&up, "demo/app", "v1");
    let gate = Gate::new();
    target.fault(When::put("uploads"), Fault::hold_taking_after(100, &gate));
    let config = config(&up, "", &[("east", &target)]);
    let mut proxy = Tidegate::start(TIDEGATE, &config).await;
    pull(&proxy, &image).await;
    let is_upload = |it: &fake_registry::Recorded| it.method.as_str() == "POST";
    target.wait_for(|log| log.iter().any(is_upload)).await;
    proxy.process_mut().kill();
    target.clear_faults();
    gate.open();
    proxy.restart().await;
    tagged(&target).await;
    assert!(is_whole(&target, &image), "{}", lines(&target.log()));
    for digest in image.layers(AMD) {
        assert_eq!(up.gets_of(&digest).len(), 1, "{}", lines(&up.log()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_waits_for_what_is_under_way() {
    let (up, target) = (Upstream::start().await, Target::start().await);
    let image = image(9202);
    image.push_to(&up, "demo/app", "v1");
    let gate = Gate::new();
    target.fault(When::put("uploads"), Fault::hold_taking_after(100, &gate));
    let config = config(&up, "", &[("east", &target)]);
    let mut proxy = Tidegate::start(TIDEGATE, &config).await;
    pull(&proxy, &image).await;
    proxy.process_mut().terminate();
    proxy.wait_for_log("ending; what is under way").await;
    assert!(!is_whole(&target, &image));
    gate.open();
    let ended = proxy.process_mut().wait(fake_registry::PATIENCE).await;
    assert!(ended.success(), "{}", proxy.log());
    assert!(is_whole(&target, &image), "{}", lines(&target.log()));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_it_serves_from_its_target() {
    let (up, target) = (Upstream::start().await, Target::start().await);
    let image = image(9203);
    image.push_to(&up, "demo/app", "v1");
    let config = config(&up, "enabled = false", &[("east", &target)]);
    let mut proxy = Tidegate::start(TIDEGATE, &config).await;
    pull(&proxy, &image).await;
    tagged(&target).await;
    // Ended in order: a kill may lose the last milliseconds of what is known of the target.
    proxy.process_mut().terminate();
    let ended = proxy.process_mut().wait(fake_registry::PATIENCE).await;
    assert!(ended.success(), "{}", proxy.log());
    proxy.restart().await;
    up.clear_log();
    pull(&proxy, &image).await;
    let gets = up.count(|it| it.method.as_str() == "GET");
    assert_eq!(gets, 0, "{}", lines(&up.log()));
    assert!(!proxy.log().contains("each pull asks"), "{}", proxy.log());
    assert!(!proxy.folder().join("data/docker").exists());
    let mut store = Command::new(TIDEGATE);
    let store = store.args(["store", "ls"]).current_dir(proxy.folder());
    let said = store.output().expect("the binary runs");
    assert_eq!(said.status.code(), Some(2));
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("nothing is kept"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_target_waits_for_a_restart() {
    let (up, target) = (Upstream::start().await, Target::start().await);
    let before = config(&up, "enabled = false", &[]);
    let mut proxy = Tidegate::start(TIDEGATE, &before).await;
    assert!(proxy.log().contains("each pull asks"), "{}", proxy.log());
    let state = proxy.folder().join("data/tidegate/targets.redb");
    assert!(!state.exists(), "there is nothing to keep");
    let after = config(&up, "enabled = false", &[("east", &target)]);
    proxy.reload(&after);
    let said = "a restart is needed for the new target";
    proxy.wait_for_log(said).await;
}
