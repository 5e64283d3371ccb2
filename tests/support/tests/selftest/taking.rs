//! Faults of a request's body, as a client sees them.

use std::time::Duration;
use std::time::Instant;

use fake_registry::Client;
use fake_registry::ClientError;
use fake_registry::Ended;
use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Pki;
use fake_registry::Reply;
use fake_registry::Target;
use fake_registry::When;
use fake_registry::digest_of;
use http::Method;
use http::Version;

const SIZE: usize = 300_000;

struct Scene {
    target: Target,
    client: Client,
    version: Version,
}

impl Scene {
    fn of(target: Target) -> Self {
        let client = Client::builder().fresh_connections().build();
        Self {
            target,
            client,
            version: Version::HTTP_11,
        }
    }

    /// By HTTP/1.1, and by HTTP/2 over TLS.
    async fn both() -> [Self; 2] {
        let pki = Pki::new();
        let secure = Self {
            target: Target::builder().tls(&pki).start().await,
            client: Client::tls(&pki),
            version: Version::HTTP_2,
        };
        [Self::new().await, secure]
    }

    async fn new() -> Self {
        Self::of(Target::start().await)
    }

    fn body() -> Vec<u8> {
        vec![7; SIZE]
    }

    async fn place(&self) -> String {
        let url = format!("{}/v2/x/blobs/uploads/", self.target.url());
        let begun = self.client.request(Method::POST, url).send().await;
        let begun = begun.expect("an answer");
        begun.header("location").expect("a place").to_owned()
    }

    async fn upload(&self) -> Result<Reply, ClientError> {
        let (place, digest) = (self.place().await, digest_of(&Self::body()));
        let url = format!("{place}&digest={digest}");
        let put = self.client.request(Method::PUT, url).body(Self::body());
        put.send().await
    }

    /// An early answer, and an upload after it; gives the protocol.
    async fn answers_early(&self) -> Version {
        let scene = self;
        let fault = Fault::error(401, "UNAUTHORIZED").early(1000);
        let fault = scene.target.fault(When::put("/blobs/uploads/"), fault);
        let reply = scene.upload().await.expect("an answer");
        let version = reply.version;
        assert_eq!(reply.status, 401);
        let put = scene.target.log().pop().expect("a PUT");
        assert_eq!((put.request_bytes, fault.hits()), (1000, 1));
        assert!(!scene.is_there());
        fault.lift();
        let again = scene.upload().await.expect("an answer");
        assert_eq!(again.status, 201);
        assert!(scene.is_there());
        version
    }

    fn is_there(&self) -> bool {
        self.target.holds("x", &digest_of(&Self::body()))
    }
}

#[tokio::test]
async fn an_early_answer_comes_before_the_bodys_end() {
    for scene in Scene::both().await {
        let version = scene.answers_early().await;
        assert_eq!(version, scene.version);
    }
}

#[tokio::test]
async fn a_fault_may_have_a_code_of_its_own() {
    let scene = Scene::new().await;
    let fault = Fault::error(404, "BLOB_UPLOAD_UNKNOWN");
    scene
        .target
        .fault(When::put("/blobs/uploads/").nth(1), fault);
    let reply = scene.upload().await.unwrap();
    assert_eq!(reply.status, 404);
    let errors = reply.json().await.unwrap();
    assert_eq!(errors["errors"][0]["code"], "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(scene.upload().await.unwrap().status, 201);
}

#[tokio::test]
async fn a_body_is_cut() {
    let faults = [
        Fault::cut_taking_after(1000),
        Fault::reset_taking_after(1000),
        Fault::cut_taking_after(1000),
    ];
    let [plain, secure] = Scene::both().await;
    for (fault, scene) in faults.into_iter().zip([plain, Scene::new().await, secure]) {
        scene
            .target
            .fault(When::put("/blobs/uploads/").nth(1), fault);
        assert!(scene.upload().await.is_err());
        let put = scene.target.log().pop().unwrap();
        scene
            .target
            .wait_for(|log| log.last().is_some_and(|it| it.ended == Ended::Aborted))
            .await;
        assert_eq!((put.request_bytes, put.status), (1000, None));
        assert!(!scene.is_there());
        assert_eq!(scene.target.open_sessions(), 1);
    }
}

#[tokio::test]
async fn a_body_is_held_at_a_gate() {
    let (scene, gate) = (Scene::new().await, Gate::new());
    let fault = Fault::hold_taking_after(1000, &gate);
    scene.target.fault(When::put("/blobs/uploads/"), fault);
    let held = async {
        scene
            .target
            .wait_for(|log| log.iter().any(|it| it.request_bytes == 1000))
            .await;
        assert!(!scene.is_there());
        gate.open();
    };
    let (reply, ()) = tokio::join!(scene.upload(), held);
    assert_eq!(reply.unwrap().status, 201);
    assert!(scene.is_there());
}

#[tokio::test]
async fn a_body_is_taken_slowly() {
    let scene = Scene::of(Target::builder().narrow().start().await);
    let speed = SIZE as u64 * 4;
    scene
        .target
        .fault(When::put("/blobs/uploads/"), Fault::take_slowly(speed));
    let began = Instant::now();
    assert_eq!(scene.upload().await.unwrap().status, 201);
    assert!(began.elapsed() >= Duration::from_millis(250));
}

#[tokio::test]
async fn an_answer_is_lost_after_the_deed() {
    let scene = Scene::new().await;
    scene
        .target
        .fault(When::put("/blobs/uploads/"), Fault::lose_answer());
    assert!(scene.upload().await.is_err());
    assert!(scene.is_there());
}

#[tokio::test]
async fn sessions_are_lost() {
    let scene = Scene::new().await;
    let place = scene.place().await;
    scene.target.lose_sessions();
    let url = format!("{place}&digest={}", digest_of(b"abc"));
    let put = scene.client.request(Method::PUT, url).body("abc");
    assert_eq!(put.send().await.unwrap().status, 404);
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_body_uploads_nothing() {
    let (scene, gate) = (Scene::new().await, Gate::new());
    let fault = Fault::hold_taking_after(1000, &gate);
    scene.target.fault(When::put("/blobs/uploads/"), fault);
    tokio::select! {
        _ = scene.upload() => panic!("it is held"),
        () = scene.target.wait_for(|log| log.iter().any(|it| it.request_bytes == 1000)) => {}
    }
    gate.open();
    scene
        .target
        .wait_for(|log| log.iter().all(|it| it.ended != Ended::Open))
        .await;
    assert_eq!(scene.target.log().pop().unwrap().ended, Ended::Aborted);
    assert!(!scene.is_there());
}
