//! Memory is bounded by a constant, however many pull: of a process of its own, as the kernel
//! counts it.

use fake_registry::Client;
use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Pki;
use fake_registry::Tidegate;
use fake_registry::Upstream;
use fake_registry::When;
use futures_util::future::join_all;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;

use crate::rig::MIB;

async fn proxy(up: &Upstream) -> Tidegate {
    proxy_with(up, "").await
}

/// A proxy with further keys of `[server]`.
async fn proxy_with(up: &Upstream, server: &str) -> Tidegate {
    let config = format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        admin = "127.0.0.1:0"
        {server}
        [store]
        path = "store"
        [[upstream]]
        name = "up.test"
        url = "{}"
        plain_http = true
        default = true
        # Whether it is worth it depends on the machine.
        parallel_ranges = 1
        "#,
        up.url()
    );
    Tidegate::start(env!("CARGO_BIN_EXE_tidegate"), &config).await
}

async fn pull_all(proxy: &Tidegate, digests: &[String]) {
    let client = Client::new();
    let (client, proxy) = (&client, proxy.url());
    let pulls = digests.iter().map(|digest| async move {
        let url = format!("{proxy}/v2/demo/app/blobs/{digest}");
        let reply = client.get(url).send().await.expect("an answer");
        assert_eq!(&reply.digest().await.expect("a whole blob"), digest);
    });
    join_all(pulls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_herd_on_one_cold_blob() {
    let up = Upstream::start().await;
    let digest = up.put_generated_blob("demo/app", 64 * MIB, 1);
    let proxy = proxy(&up).await;
    let idle = proxy.peak_rss();
    pull_all(&proxy, &vec![digest.clone(); 64]).await;
    assert_eq!(up.gets_of(&digest).len(), 1);
    assert_took(&proxy, idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_cold_blobs_at_once() {
    let up = Upstream::start().await;
    let digests: Vec<_> = (0..64)
        .map(|seed| up.put_generated_blob("demo/app", 8 * MIB, 100 + seed))
        .collect();
    let proxy = proxy(&up).await;
    let idle = proxy.peak_rss();
    pull_all(&proxy, &digests).await;
    assert_eq!(up.log().len(), 64);
    assert_took(&proxy, idle);
}

/// What pulls took at most beside what the proxy has when it is idle: most of that are pages of a
/// program that was built for tests, with all features.
fn assert_took(proxy: &Tidegate, idle: u64) {
    let peak = proxy.peak_rss();
    assert!(peak - idle < 32 * MIB, "{peak} bytes, {idle} before");
}

/// How many clients pull at the same time, and how many blobs.
const CLIENTS: usize = 1000;
const BLOBS: usize = 200;
/// What else may be open: connections to the upstream that are kept, files that are synced.
const SPARE: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_pulls_of_two_hundred_blobs() {
    let descriptors = thousand("", Client::new).await;
    // A connection for each client; a connection and a file for each blob.
    let most = CLIENTS + 2 * BLOBS + SPARE;
    assert!(descriptors.cold <= most, "{descriptors:?}");
    // A connection, and at most a file, for each client.
    assert!(descriptors.stored <= 2 * CLIENTS + SPARE, "{descriptors:?}");
    assert!(
        descriptors.cold > CLIENTS,
        "all of them are connected at once"
    );
}

/// Over TLS nothing takes the file lane: all bytes pass through memory, and an HTTP/2 connection
/// has room for many streams of it.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_pulls_over_tls() {
    let pki = Pki::new();
    let leaf = pki.server(&[]);
    let keys = format!(
        "tls = {{ cert = {:?}, key = {:?} }}",
        leaf.cert_file, leaf.key_file
    );
    thousand(&keys, || Client::builder().trust(&pki).h2().build()).await;
}

/// How many file descriptors the proxy had more than without a client.
#[derive(Debug)]
struct Descriptors {
    cold: usize,
    stored: usize,
}

/// All pull at once, while nothing is stored, then again.
async fn thousand(server: &str, client: impl Fn() -> Client) -> Descriptors {
    files_for(4 * CLIENTS as u64);
    let up = Upstream::start().await;
    let digests: Vec<_> = (0..BLOBS as u64)
        .map(|seed| up.put_generated_blob("demo/app", MIB, 1000 + seed))
        .collect();
    let gate = Gate::new();
    up.fault(When::any(), Fault::stall_after(MIB / 2, &gate));
    let proxy = proxy_with(&up, server).await;
    let before = proxy.process().descriptors();
    let mut more = Vec::new();
    for when in ["cold", "stored"] {
        let descriptors = crowd(&proxy, &client, &digests, &gate).await;
        assert_eq!(up.log().len(), BLOBS, "{when}: one request for each blob");
        let peak = proxy.peak_rss();
        assert!(peak < 128 * MIB, "{when}: {peak} bytes");
        more.push(descriptors - before);
    }
    Descriptors {
        cold: more[0],
        stored: more[1],
    }
}

/// All clients have an answer's header before any of them reads on: how many files the proxy has
/// open then.
async fn crowd(
    proxy: &Tidegate,
    client: &impl Fn() -> Client,
    digests: &[String],
    gate: &Gate,
) -> usize {
    // Over HTTP/2 each is one connection.
    let machines: Vec<_> = (0..50).map(|_| client()).collect();
    let pulls = (0..CLIENTS).map(|number| {
        let digest = &digests[number % BLOBS];
        let url = format!("{}/v2/demo/app/blobs/{digest}", proxy.url());
        let request = machines[number % machines.len()].get(url);
        async move { (digest, request.send().await.expect("an answer")) }
    });
    let replies = join_all(pulls).await;
    let descriptors = proxy.process().descriptors();
    gate.open();
    let pulled = replies.into_iter().map(|(digest, reply)| async move {
        assert_eq!(&reply.digest().await.expect("a whole blob"), digest);
    });
    join_all(pulled).await;
    descriptors
}

/// Lets this process, which is a thousand clients, open that many files.
fn files_for(files: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < files) {
        let current = limit.maximum.map_or(files, |most| most.min(files));
        let raised = Rlimit {
            current: Some(current),
            ..limit
        };
        setrlimit(Resource::Nofile, raised).expect("a limit below the highest");
    }
}
