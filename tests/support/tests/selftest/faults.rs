//! Each fault, as a client sees it.

use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use fake_registry::Client;
use fake_registry::ClientError;
use fake_registry::Content;
use fake_registry::Ended;
use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Pki;
use fake_registry::Reply;
use fake_registry::Upstream;
use fake_registry::When;
use http::StatusCode;

const SIZE: usize = 300_000;

struct Scene {
    upstream: Upstream,
    client: Client,
    digest: String,
    content: Bytes,
}

impl Scene {
    async fn new() -> Self {
        Self::of(Upstream::start().await, Client::new())
    }

    fn of(upstream: Upstream, client: Client) -> Self {
        let content = Content::generated(SIZE as u64, 9);
        let mut bytes = Vec::new();
        while bytes.len() < SIZE {
            bytes.extend_from_slice(&content.read(bytes.len() as u64, u64::MAX));
        }
        let digest = upstream.put_content("x", content);
        Self {
            upstream,
            client,
            digest,
            content: bytes.into(),
        }
    }

    fn url(&self) -> String {
        format!("{}/v2/x/blobs/{}", self.upstream.url(), self.digest)
    }

    async fn get(&self) -> Reply {
        self.client.get(self.url()).send().await.expect("an answer")
    }

    async fn read(&self) -> (Bytes, Option<ClientError>) {
        self.get().await.bytes_until_error().await
    }
}

#[tokio::test]
async fn statuses_strike_when_told_and_vanish() {
    let scene = Scene::new().await;
    let fault = Fault::status(429).header("retry-after", "7");
    let fault = scene.upstream.fault(When::get("/blobs/").nth(2), fault);
    assert_eq!(scene.get().await.status, StatusCode::OK);
    let reply = scene.get().await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.header("retry-after"), Some("7"));
    assert_eq!(
        reply.json().await.unwrap()["errors"][0]["code"],
        "TOOMANYREQUESTS"
    );
    assert_eq!(scene.get().await.status, StatusCode::OK);
    assert_eq!(fault.hits(), 1);

    let range = |it: &fake_registry::Recorded| it.header("range").is_some();
    let fault = scene
        .upstream
        .fault(When::any().and(range).times(2), Fault::status(503));
    assert_eq!(scene.get().await.status, StatusCode::OK);
    for expected in [503, 503, 206] {
        let reply = scene
            .client
            .get(scene.url())
            .range("0-1")
            .send()
            .await
            .unwrap();
        assert_eq!(reply.status, expected);
    }
    assert_eq!(fault.hits(), 2);

    let fault = scene.upstream.fault(When::any(), Fault::status(500));
    assert_eq!(scene.get().await.status, 500);
    fault.lift();
    assert_eq!(scene.get().await.status, 200);
    scene.upstream.fault(When::any(), Fault::status(500));
    scene.upstream.clear_faults();
    assert_eq!(scene.get().await.status, 200);
}

#[tokio::test]
async fn a_cut_comes_after_exactly_so_many_bytes() {
    let scene = Scene::new().await;
    for cut in [0, 1, 1000, 200_000, SIZE - 1] {
        scene.upstream.clear_log();
        scene.upstream.fault(
            When::get(&scene.digest).times(1),
            Fault::cut_after(cut as u64),
        );
        let reply = scene.get().await;
        assert_eq!(reply.content_length(), Some(SIZE as u64));
        let (read, error) = reply.bytes_until_error().await;
        assert_eq!(read, scene.content[..cut]);
        assert!(error.is_some(), "cut after {cut}");
        scene
            .upstream
            .wait_for(|log| log[0].ended == Ended::Aborted)
            .await;
        assert_eq!(scene.upstream.log()[0].body_bytes_sent, cut as u64);
    }
    assert_eq!(scene.read().await.0, scene.content);
}

#[tokio::test]
async fn a_cut_strikes_tls_and_h2_too() {
    let pki = Pki::new();
    let tls = Upstream::builder().tls(&pki).start().await;
    let old = Upstream::builder()
        .tls_with(&pki, &["http/1.1"])
        .start()
        .await;
    let clear = Upstream::start().await;
    let scenes = [
        (tls, Client::tls(&pki)),
        (old, Client::tls(&pki)),
        (clear, Client::h2c()),
    ];
    for (upstream, client) in scenes {
        let scene = Scene::of(upstream, client);
        scene
            .upstream
            .fault(When::any().times(1), Fault::cut_after(100_000));
        let (read, error) = scene.read().await;
        assert_eq!(read, scene.content[..100_000]);
        assert!(error.is_some());
        assert_eq!(scene.read().await.0, scene.content);
    }
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let scene = Scene::new().await;
    scene.upstream.fault(When::any(), Fault::reset_after(1000));
    let error = match scene.client.get(scene.url()).send().await {
        Ok(reply) => reply.bytes_until_error().await.1.expect("a broken body"),
        Err(error) => error,
    };
    assert!(error.to_string().contains("reset"), "{error}");
}

#[tokio::test]
async fn a_flipped_bit_is_the_only_difference() {
    let scene = Scene::new().await;
    scene
        .upstream
        .fault(When::any(), Fault::flip_bit_at(150_000));
    let read = scene.get().await.bytes().await.unwrap();
    let different = (0..SIZE)
        .filter(|&at| read[at] != scene.content[at])
        .collect::<Vec<_>>();
    assert_eq!(different, [150_000]);
    assert_eq!((read[150_000] ^ scene.content[150_000]).count_ones(), 1);

    let part = async |range: &str| {
        let request = scene.client.get(scene.url()).range(range);
        request.send().await.unwrap().bytes().await.unwrap()
    };
    assert_eq!(part("0-149999").await, scene.content[..150_000]);
    assert_ne!(part("150000-150009").await, scene.content[150_000..150_010]);
}

#[tokio::test]
async fn lengths_are_wrong_both_ways() {
    let scene = Scene::new().await;
    scene
        .upstream
        .fault(When::any().times(1), Fault::wrong_length(5));
    let reply = scene.get().await;
    assert_eq!(reply.content_length(), Some(SIZE as u64 + 5));
    let (read, error) = reply.bytes_until_error().await;
    assert_eq!(read, scene.content);
    assert!(error.is_some());

    scene
        .upstream
        .fault(When::any().times(1), Fault::wrong_length(-5));
    let reply = scene.get().await;
    assert_eq!(reply.content_length(), Some(SIZE as u64 - 5));
    assert_eq!(reply.bytes().await.unwrap(), scene.content[..SIZE - 5]);
}

#[tokio::test]
async fn a_stalled_body_goes_on_when_the_gate_opens() {
    for client in [Client::new(), Client::h2c()] {
        let scene = Scene::of(Upstream::start().await, client);
        let gate = Gate::new();
        scene
            .upstream
            .fault(When::any(), Fault::stall_after(1000, &gate));
        let mut reply = scene.get().await;
        let front = reply.read_exactly(1000).await.unwrap();
        let more = tokio::time::timeout(Duration::from_millis(100), reply.chunk()).await;
        assert!(more.is_err(), "nothing comes while the gate is closed");
        assert_eq!(scene.upstream.log()[0].body_bytes_sent, 1000);
        assert_eq!(scene.upstream.log()[0].ended, Ended::Open);
        gate.open();
        let back = reply.bytes().await.unwrap();
        assert_eq!([front, back].concat(), scene.content);
    }
}

#[tokio::test]
async fn a_client_may_leave_a_stalled_answer() {
    let scene = Scene::new().await;
    let gate = Gate::new();
    scene
        .upstream
        .fault(When::any().nth(1), Fault::stall_after(1000, &gate));
    scene
        .upstream
        .fault(When::any().nth(2), Fault::stall_header(&gate));
    let mut reply = scene.get().await;
    reply.read_exactly(1000).await.unwrap();
    drop(reply);
    scene
        .upstream
        .wait_for(|log| log[0].ended == Ended::Aborted)
        .await;

    let request = scene.client.get(scene.url()).send();
    assert!(
        tokio::time::timeout(Duration::from_millis(100), request)
            .await
            .is_err()
    );
    scene
        .upstream
        .wait_for(|log| log[1].ended == Ended::Aborted)
        .await;
    assert_eq!(scene.upstream.log()[1].status, None);
}

#[tokio::test]
async fn a_stalled_header_comes_when_the_gate_opens() {
    let scene = Scene::new().await;
    let gate = Gate::new();
    scene
        .upstream
        .fault(When::any(), Fault::stall_header(&gate));
    let read = async {
        scene.upstream.wait_for(|log| !log.is_empty()).await;
        assert_eq!(scene.upstream.log()[0].status, None);
        gate.open();
    };
    let (reply, ()) = tokio::join!(scene.get(), read);
    assert_eq!(reply.bytes().await.unwrap(), scene.content);
}

#[tokio::test]
async fn slow_is_as_slow_as_told() {
    let scene = Scene::new().await;
    scene.upstream.fault(When::any(), Fault::slow(1_000_000));
    let began = Instant::now();
    assert_eq!(scene.read().await.0, scene.content);
    let took = began.elapsed().as_secs_f64();
    assert!(
        (0.25..5.0).contains(&took),
        "300 kB at 1 MB/s took {took} s"
    );
}

#[tokio::test]
async fn ranges_may_be_overlooked() {
    let scene = Scene::new().await;
    scene.upstream.fault(When::any(), Fault::ignore_range());
    let reply = scene
        .client
        .get(scene.url())
        .range("5-9")
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.bytes().await.unwrap(), scene.content);
}

#[tokio::test]
async fn a_body_may_have_no_length_and_no_end() {
    for client in [Client::new(), Client::h2c()] {
        let scene = Scene::of(Upstream::start().await, client);
        scene
            .upstream
            .fault(When::any().nth(1), Fault::no_content_length());
        let reply = scene.get().await;
        assert_eq!(reply.content_length(), None);
        assert_eq!(reply.bytes().await.unwrap(), scene.content);

        scene.upstream.fault(When::any(), Fault::endless());
        let mut reply = scene.get().await;
        assert_eq!(reply.content_length(), None);
        let read = reply.read_exactly(2 * SIZE + 10).await.unwrap();
        assert_eq!(read[..SIZE], scene.content);
        assert_eq!(read[SIZE..2 * SIZE], scene.content);
    }
}

#[tokio::test]
async fn redirects_point_where_told() {
    let cdn = Scene::new().await;
    let scene = Scene::new().await;
    scene.upstream.fault(
        When::get("/blobs/").times(1),
        Fault::redirect_to("http://a/b", 302),
    );
    let reply = scene.get().await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("location")),
        (302, Some("http://a/b"))
    );

    scene.upstream.fault(
        When::get("/blobs/"),
        Fault::redirect_to_host(&cdn.upstream.url()),
    );
    let reply = scene.get().await;
    assert_eq!(reply.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(reply.header("location"), Some(cdn.url().as_str()));

    cdn.upstream
        .put_file("/file", Content::Memory(Bytes::from_static(b"abc")));
    let file = format!("{}/file", cdn.upstream.url());
    let reply = scene.client.get(file).range("1-").send().await.unwrap();
    assert_eq!(reply.bytes().await.unwrap(), "bc");
}

#[tokio::test]
async fn headers_are_added_changed_and_left_out() {
    let scene = Scene::new().await;
    let fault = Fault::wrong_digest_header()
        .and(Fault::extra_header("age", "77"))
        .and(Fault::without_header("accept-ranges"));
    scene.upstream.fault(When::any(), fault);
    let reply = scene.get().await;
    let zeros = format!("sha256:{}", "0".repeat(64));
    assert_eq!(reply.header("docker-content-digest"), Some(zeros.as_str()));
    assert_eq!(reply.header("age"), Some("77"));
    assert_eq!(reply.header("accept-ranges"), None);
    assert_eq!(reply.digest().await.unwrap(), scene.digest);
}

#[tokio::test]
#[should_panic(expected = "GET /v2/ -> 200")]
async fn waiting_in_vain_shows_the_log() {
    let upstream = Upstream::start().await;
    Client::new()
        .get(format!("{}/v2/", upstream.url()))
        .send()
        .await
        .unwrap();
    upstream
        .wait_for_within(Duration::from_millis(50), |log| log.len() > 1)
        .await;
}
