//! What became of every byte, to the byte, in each kind of transfer. That both sides agree is checked
//! at the end of every test here, by its rig.

use fake_registry::Client;
use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::When;
use futures_util::future::join_all;
use tidegate::flow::OnDisconnect;
use tidegate::ledger::Books;

use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;

const SIZE: u64 = 16 * MIB;

fn path(digest: &str) -> String {
    format!("demo/app/blobs/{digest}")
}

/// All figures that are not 0: what became of upstream bytes, and where client bytes came from.
fn figures(books: &Books) -> Vec<(&'static str, u64)> {
    let uses = [("committed", books.committed), ("passed", books.passed)];
    let discarded = books.discarded.iter().map(|(it, n)| (it.as_str(), *n));
    let given = books.client_given.iter().map(|(it, n)| (it.as_str(), *n));
    let all = uses.into_iter().chain(discarded).chain(given);
    all.filter(|(_, bytes)| *bytes > 0).collect()
}

/// Those of the rig, once nothing is under way.
async fn entered(rig: &Rig) -> Vec<(&'static str, u64)> {
    rig.flow.settled().await;
    figures(&rig.books().await)
}

/// What the upstream says that it sent.
fn sent(up: &Upstream) -> u64 {
    up.log()
        .iter()
        .map(|recorded| recorded.body_bytes_sent)
        .sum()
}

/// Makes the store take nothing.
fn break_store(rig: &Rig) {
    let folder = rig.store().join("tidegate/tmp");
    std::fs::remove_dir_all(&folder).expect("a folder");
    std::fs::write(&folder, "not a folder").expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn cold_then_stored() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 7001);
    let pull = async || rig.get(&path(&digest)).await.digest().await.unwrap();
    assert_eq!(pull().await, digest);
    assert_eq!(entered(&rig).await, [("committed", SIZE), ("flow", SIZE)]);
    assert_eq!(pull().await, digest);
    rig.range(&path(&digest), "bytes=5-9")
        .await
        .bytes()
        .await
        .unwrap();
    rig.head(&path(&digest)).await;
    let stored = ("store", SIZE + 5);
    assert_eq!(
        entered(&rig).await,
        [("committed", SIZE), stored, ("flow", SIZE)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_over_both_protocols() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 7002);
    let h2 = Client::h2c();
    let pulls = (0..16).map(|number| {
        let (rig, digest) = (&rig, &digest);
        let client = if number % 2 == 0 { &h2 } else { &rig.client };
        async move {
            let reply = client.get(rig.url(&path(digest))).send().await.unwrap();
            assert_eq!(&reply.digest().await.unwrap(), digest);
        }
    });
    join_all(pulls).await;
    rig.flow.settled().await;
    let books = rig.books().await;
    let given: u64 = books.client_given.values().sum();
    assert_eq!((books.committed, given), (SIZE, 16 * SIZE));
    assert_eq!(books.upstream_received, SIZE);
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_and_resumed() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 7003);
    let cut = Fault::cut_after(3 * MIB);
    rig.up.fault(When::get(&digest).times(5), cut);
    let reply = rig.get(&path(&digest)).await;
    assert_eq!(reply.digest().await.unwrap(), digest);
    assert_eq!(entered(&rig).await, [("committed", SIZE), ("flow", SIZE)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_does_not_go_on() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 7004);
    rig.up.fault(When::get(&digest), Fault::cut_after(0));
    let cut = Fault::cut_after(5 * MIB);
    rig.up.fault(When::get(&digest).times(1), cut);
    let (read, error) = rig.get(&path(&digest)).await.bytes_until_error().await;
    assert!(error.is_some());
    let given = ("flow", read.len() as u64);
    assert_eq!(entered(&rig).await, [("incomplete", 5 * MIB), given]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 7005);
    let flip = Fault::flip_bit_at(SIZE / 2);
    rig.up.fault(When::get(&digest).times(1), flip);
    let (read, error) = rig.get(&path(&digest)).await.bytes_until_error().await;
    assert!(error.is_some());
    let given = ("flow", read.len() as u64);
    assert_eq!(entered(&rig).await, [("mismatch", SIZE), given]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_is_ignored() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 7006);
    rig.up.fault(When::get(&digest), Fault::ignore_range());
    let cut = Fault::cut_after(5 * MIB);
    rig.up.fault(When::get(&digest).times(1), cut);
    let reply = rig.get(&path(&digest)).await;
    assert_eq!(reply.digest().await.unwrap(), digest);
    let figures = [("committed", SIZE), ("skipped", 5 * MIB), ("flow", SIZE)];
    assert_eq!(entered(&rig).await, figures);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_segments() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 7007);
    let gate = Gate::new();
    let from_the_start = When::get(&digest).and(|request| request.header("range").is_none());
    rig.up.fault(from_the_start, Fault::stall_after(MIB, &gate));
    let ahead = format!("bytes={}-", SIZE / 2);
    let ahead = rig.range(&path(&digest), &ahead).await;
    assert_eq!(ahead.bytes().await.unwrap().len() as u64, SIZE / 2);
    gate.open();
    rig.flow.settled().await;
    let books = rig.books().await;
    // The first request is cut short where the second began: what had come by then is too much.
    let surplus = books.upstream_received - SIZE;
    let mut expected = vec![
        ("committed", SIZE),
        ("surplus", surplus),
        ("flow", SIZE / 2),
    ];
    expected.retain(|(_, bytes)| *bytes > 0);
    assert_eq!(figures(&books), expected);
    assert!(books.upstream_received <= sent(&rig.up));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_passed_on() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 7008);
    let part = rig.range(&path(&digest), "bytes=1048576-1048675").await;
    assert_eq!(part.bytes().await.unwrap().len(), 100);
    assert_eq!(entered(&rig).await, [("passed", 100), ("flow", 100)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_does_not_take() {
    let rig = Rig::start().await;
    break_store(&rig);
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 7009);
    let reply = rig.get(&path(&digest)).await;
    assert_eq!(reply.digest().await.unwrap(), digest);
    assert_eq!(entered(&rig).await, [("passed", SIZE), ("flow", SIZE)]);

    let flip = Fault::flip_bit_at(SIZE - 1);
    let flip = rig.up.fault(When::get(&digest), flip);
    let (_, error) = rig.get(&path(&digest)).await.bytes_until_error().await;
    assert!(error.is_some());
    rig.flow.settled().await;
    let books = rig.books().await;
    let last = 2 * SIZE - books.passed;
    assert!(
        last > 0 && last < MIB,
        "the last chunk is held back: {books:?}"
    );
    let flow = books.passed;
    assert_eq!(
        figures(&books),
        [("passed", flow), ("mismatch", last), ("flow", flow)]
    );

    flip.lift();
    rig.up.fault(When::get(&digest), Fault::ignore_range());
    let end = rig.range(&path(&digest), &format!("bytes={MIB}-")).await;
    assert_eq!(end.bytes().await.unwrap().len() as u64, SIZE - MIB);
    let flow = flow + SIZE - MIB;
    let figures = [
        ("passed", flow),
        ("skipped", MIB),
        ("mismatch", last),
        ("flow", flow),
    ];
    assert_eq!(entered(&rig).await, figures);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_passed_on_and_breaks_off() {
    let rig = Rig::start().await;
    break_store(&rig);
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 7016);
    rig.up.fault(When::get(&digest), Fault::ignore_range());
    let cut = Fault::cut_after(5 * MIB);
    rig.up.fault(When::get(&digest).times(1), cut);
    let reply = rig.get(&path(&digest)).await;
    assert_eq!(reply.digest().await.unwrap(), digest);
    let figures = [("passed", SIZE), ("skipped", 5 * MIB), ("flow", SIZE)];
    assert_eq!(entered(&rig).await, figures);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_length() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 7010);
    rig.up
        .fault(When::path(&digest), Fault::no_content_length());
    let pull = async || rig.get(&path(&digest)).await.digest().await.unwrap();
    assert_eq!(pull().await, digest);
    // It is spooled, and then read from what is stored.
    assert_eq!(entered(&rig).await, [("committed", SIZE), ("store", SIZE)]);

    let rig = Rig::start().await;
    break_store(&rig);
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 7010);
    rig.up
        .fault(When::path(&digest), Fault::no_content_length());
    let reply = rig.get(&path(&digest)).await;
    assert_eq!(reply.digest().await.unwrap(), digest);
    let figures = [("passed", SIZE), ("measured", SIZE), ("flow", SIZE)];
    assert_eq!(entered(&rig).await, figures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves() {
    for (seed, on_disconnect) in [(7011, OnDisconnect::Finish), (7012, OnDisconnect::Abort)] {
        let rig = Rig::with(Setup {
            on_disconnect,
            ..Setup::default()
        })
        .await;
        let digest = rig.up.put_generated_blob("demo/app", SIZE, seed);
        let gate = Gate::new();
        rig.up
            .fault(When::get(&digest), Fault::stall_after(MIB, &gate));
        let mut only = rig.get(&path(&digest)).await;
        only.read_exactly(1 << 20).await.unwrap();
        drop(only);
        if on_disconnect == OnDisconnect::Finish {
            gate.open();
        }
        rig.flow.settled().await;
        let books = rig.books().await;
        let upstream = match on_disconnect {
            OnDisconnect::Finish => ("committed", SIZE),
            OnDisconnect::Abort => ("abandoned", MIB),
        };
        assert_eq!(figures(&books)[0], upstream);
        assert!(books.client_sent >= MIB && books.client_sent <= SIZE);
        gate.open();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_what_is_passed_on() {
    let rig = Rig::start().await;
    break_store(&rig);
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 7013);
    for client in [Client::new(), Client::h2c()] {
        let mut reply = client.get(rig.url(&path(&digest))).send().await.unwrap();
        reply.read_exactly(1 << 20).await.unwrap();
        drop(reply);
        let books = rig.books().await;
        assert_eq!(books.passed, books.client_sent);
        assert_eq!(books.passed, books.upstream_received);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests() {
    let rig = Rig::start().await;
    rig.put_image("demo/app", "v1", &[]);
    let pull = async || {
        let reply = rig.manifest("demo/app/manifests/v1").await;
        reply.bytes().await.unwrap().len() as u64
    };
    let size = pull().await;
    assert_eq!(entered(&rig).await, [("committed", size), ("flow", size)]);
    assert_eq!(pull().await, size);
    rig.head("demo/app/manifests/v1").await;
    let expected = [("committed", size), ("store", size), ("flow", size)];
    assert_eq!(entered(&rig).await, expected);

    let wrong = Fault::wrong_digest_header();
    rig.up.fault(When::get("manifests"), wrong);
    rig.put_image("demo/app", "v2", &[]);
    let before = sent(&rig.up);
    let reply = rig.manifest("demo/app/manifests/v2").await;
    let words = reply.bytes().await.unwrap().len() as u64;
    let wrong = ("mismatch", sent(&rig.up) - before);
    let [first, second, third] = expected;
    let figures = [first, wrong, second, third, ("own", words)];
    assert_eq!(entered(&rig).await, figures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_can_not_be_stored() {
    let rig = Rig::start().await;
    rig.put_image("demo/app", "v1", &[]);
    break_store(&rig);
    let reply = rig.manifest("demo/app/manifests/v1").await;
    let size = reply.bytes().await.unwrap().len() as u64;
    assert_eq!(entered(&rig).await, [("passed", size), ("flow", size)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_our_own_words() {
    let rig = Rig::start().await;
    rig.put_image("demo/app", "v1", &[]);
    let list = rig.get("demo/app/tags/list").await.bytes().await.unwrap();
    let size = list.len() as u64;
    assert_eq!(entered(&rig).await, [("passed", size), ("flow", size)]);
    let catalog = rig.get("_catalog").await.bytes().await.unwrap();
    let ping = rig.get("").await.bytes().await.unwrap();
    let own = (catalog.len() + ping.len()) as u64;
    assert_eq!(
        entered(&rig).await,
        [("passed", size), ("flow", size), ("own", own)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn errors() {
    for status in [404, 429, 500] {
        let rig = Rig::start().await;
        let digest = rig.up.put_generated_blob("demo/app", MIB, 7014);
        rig.up.fault(When::any(), Fault::status(status));
        let reply = rig.get(&path(&digest)).await;
        assert!(reply.status.as_u16() >= 400);
        let words = reply.bytes().await.unwrap().len() as u64;
        let error = sent(&rig.up);
        assert!(error > 0);
        let figures = [("error", error), ("own", words)];
        assert_eq!(entered(&rig).await, figures, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_redirects() {
    let tokens = TokenServer::builder().anonymous(&["*:*"]).start().await;
    let up = Upstream::builder().bearer(&tokens).start().await;
    let cdn = Upstream::start().await;
    let rig = Rig::before(up, Setup::default()).await;
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 7015);
    cdn.put_generated_blob("demo/app", SIZE, 7015);
    let redirect = Fault::redirect_to_host(&cdn.url());
    let allowed = |request: &fake_registry::Recorded| request.header("authorization").is_some();
    rig.up.fault(When::get(&digest).and(allowed), redirect);
    let reply = rig.get(&path(&digest)).await;
    assert_eq!(reply.digest().await.unwrap(), digest);
    let token: u64 = tokens.log().iter().map(|it| it.body_bytes_sent).sum();
    let error = sent(&rig.up);
    assert!(token > 0 && error > 0);
    let figures = [
        ("committed", SIZE),
        ("error", error),
        ("control", token),
        ("flow", SIZE),
    ];
    assert_eq!(entered(&rig).await, figures);
}
