//! Targets that are slow, full, forgetful or refuse: the client notices none of it, the image is
//! there in the end, and the queue tells the truth meanwhile.

use std::time::Duration;
use std::time::Instant;

use fake_registry::Client;
use fake_registry::Fault;
use fake_registry::FaultHandle;
use fake_registry::Gate;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::Mounts;
use fake_registry::Target;
use fake_registry::TargetBuilder;
use fake_registry::Tidegate;
use fake_registry::Upstream;
use fake_registry::When;
use serde_json::Value;

use crate::fleet::ACCEPT;
use crate::fleet::UPSTREAM;
use crate::fleet::said_of_target;
use crate::mirror::ARRIVAL;
use crate::mirror::Mirror;
use crate::scene::TIDEGATE;

/// How often what nobody tells is looked at.
const GLANCE: Duration = Duration::from_millis(20);
/// What uploads end with.
const UPLOADS: &str = "/blobs/uploads/";
/// An image, as clients call it.
const APP: (&str, &str) = ("a/b", "v1");

/// A scripted registry, the proxy, and a scripted target.
struct Scene {
    upstream: Upstream,
    target: Target,
    proxy: Tidegate,
    client: Client,
}

impl Scene {
    async fn start() -> Self {
        Self::with(Target::builder()).await
    }

    async fn with(target: TargetBuilder) -> Self {
        let (upstream, target) = (Upstream::start().await, target.start().await);
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
             [store]\npath = \"store\"\n\n[[upstream]]\nname = {UPSTREAM:?}\ndefault = true\n\
             url = {:?}\nplain_http = true\ncredentials = \"anonymous\"\n\n\
             [[target]]\nname = \"target\"\nurl = {:?}\nplain_http = true\n\
             credentials = \"anonymous\"\n\
             repository = \"mirror/{{upstream}}/{{repository}}\"\n",
            upstream.url(),
            target.url(),
        );
        Self {
            upstream,
            target,
            proxy: Tidegate::start(TIDEGATE, &config).await,
            client: Client::new(),
        }
    }

    /// Puts an image into the upstream, and pulls it as a client that notices nothing unusual.
    async fn pull(&self, (name, tag): (&str, &str), image: &Image) {
        image.push_to(&self.upstream, name, tag);
        let place = format!("{}/v2/{name}", self.proxy.url());
        let manifests = [format!("manifests/{tag}")].into_iter();
        let blobs = image.blobs.iter();
        let blobs = blobs.map(|blob| format!("blobs/{}", blob.digest));
        for path in manifests.chain(blobs) {
            let request = self.client.get(format!("{place}/{path}"));
            let reply = request.header("accept", ACCEPT).send().await.unwrap();
            assert_eq!(reply.status, 200, "{path}");
            let digest = reply.digest().await.unwrap();
            assert!(
                path.ends_with(&digest) || digest == image.digest(),
                "{path}"
            );
        }
    }

    /// Waits until the target has the image, wholly, and nothing is owed to it.
    async fn arrived(&self, (name, tag): (&str, &str), image: &Image) {
        let said = self
            .until("the image never arrived", |said| said["owed"] == 0)
            .await;
        let place = Mirror::place(UPSTREAM, name);
        let tagged = self.target.tag(&place, tag);
        assert_eq!(tagged.as_deref(), Some(image.digest()), "{said:#}");
        for blob in &image.blobs {
            let there = self.target.blob(&place, &blob.digest);
            assert!(
                there.as_ref() == Some(&blob.bytes),
                "{}: {said:#}",
                blob.digest
            );
        }
    }

    /// Waits until what is said of the target is as `enough` says, and gives it.
    async fn until(&self, otherwise: &str, enough: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + ARRIVAL;
        loop {
            let said = said_of_target(&self.proxy, "target").await;
            if enough(&said) {
                return said;
            }
            assert!(
                Instant::now() < deadline,
                "{otherwise}: {said:#}\n{}",
                self.proxy.log()
            );
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Waits until the queue tells of a failure that `word` is part of.
    async fn tells(&self, word: &str) {
        let tells = |said: &Value| said["owed"] == 1 && said.to_string().contains(word);
        self.until("the queue never told of it", tells).await;
    }
}

fn image(seed: u64) -> Image {
    ImageBuilder::new(seed).base(7, 1).build()
}

/// Commits `fault` on the first uploads that end, pulls, and waits for the image.
async fn goes_wrong_once(fault: Fault) -> (Scene, FaultHandle) {
    let scene = Scene::start().await;
    let fault = scene.target.fault(When::put(UPLOADS).nth(1), fault);
    let image = image(1);
    scene.pull(APP, &image).await;
    scene.arrived(APP, &image).await;
    assert_eq!(fault.hits(), 1);
    (scene, fault)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_held_up_holds_no_client_up() {
    let (scene, gate) = (Scene::start().await, Gate::new());
    let hold = Fault::hold_taking_after(1000, &gate);
    scene.target.fault(When::put(UPLOADS), hold);
    let image = image(1);
    scene.pull(APP, &image).await;
    let said = scene
        .until("nothing is owed", |said| said["owed"] == 1)
        .await;
    let place = Mirror::place(UPSTREAM, APP.0);
    assert_eq!(scene.target.tag(&place, APP.1), None, "{said:#}");
    gate.open();
    scene.arrived(APP, &image).await;
    assert_eq!(scene.target.requests().total(), 2 * image.blobs.len() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_takes_64_kib_a_second_gets_it_all() {
    let scene = Scene::with(Target::builder().narrow()).await;
    scene
        .target
        .fault(When::put(UPLOADS), Fault::take_slowly(64 << 10));
    let image = ImageBuilder::new(1).layer_size(160_000).build();
    scene.pull(APP, &image).await;
    assert!(
        scene
            .target
            .tag(&Mirror::place(UPSTREAM, "a/b"), "v1")
            .is_none()
    );
    scene.arrived(APP, &image).await;
    assert_eq!(scene.target.uploaded_twice(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_full_gets_it_when_there_is_room() {
    let scene = Scene::start().await;
    let full = scene.target.fault(When::put(UPLOADS), Fault::status(507));
    let image = image(1);
    scene.pull(APP, &image).await;
    scene.tells("507").await;
    full.lift();
    scene.arrived(APP, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_down_gets_it_when_it_is_up() {
    let scene = Scene::start().await;
    scene.target.stop().await;
    let image = image(1);
    scene.pull(APP, &image).await;
    scene.tells("refused").await;
    scene.target.restart().await;
    scene.arrived(APP, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_401_in_mid_upload_is_begun_again() {
    goes_wrong_once(Fault::error(401, "UNAUTHORIZED").early(1000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_lost_is_begun_again() {
    let (scene, _) = goes_wrong_once(Fault::error(404, "BLOB_UPLOAD_UNKNOWN")).await;
    assert_eq!(scene.target.uploaded_twice(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_in_mid_upload_is_begun_again() {
    goes_wrong_once(Fault::reset_taking_after(1000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_loses_no_blob() {
    goes_wrong_once(Fault::lose_answer()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_asks_for_patience_gets_it() {
    let fault = Fault::status(429).header("retry-after", "1");
    goes_wrong_once(fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_mounts_become_uploads() {
    let scene = Scene::with(Target::builder().mounts(Mounts::Never)).await;
    let images = [image(1), image(2)];
    for (name, image) in [("a/one", "v1"), ("a/two", "v1")].into_iter().zip(&images) {
        scene.pull(name, image).await;
        scene.arrived(name, image).await;
    }
    // The session of a refused mount is the upload's.
    let asked = scene.target.requests();
    let pairs = images[0].blobs.len() + images[1].blobs.len();
    assert_eq!(asked.total(), 2 * pairs + 2, "{asked:?}");
    assert_eq!(scene.target.mounts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_the_target_has_thrown_away_is_brought_again() {
    let scene = Scene::start().await;
    let images = [image(1), image(2), image(3)];
    scene.pull(("a/one", "v1"), &images[0]).await;
    scene.arrived(("a/one", "v1"), &images[0]).await;
    let shared = images[0].layers("linux/amd64").remove(0);
    // The catalog says that it is in this repository, and then that it can be mounted.
    for (name, image) in [("a/one", "v2"), ("a/two", "v1")]
        .into_iter()
        .zip(&images[1..])
    {
        scene.target.collect_garbage(&shared);
        scene.pull(name, image).await;
        scene.arrived(name, image).await;
    }
    let log = scene.proxy.log();
    assert!(!log.contains("ERROR"), "{log}");
}
