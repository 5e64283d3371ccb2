//! What comes, and how it is checked.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Upstream;
use fake_registry::When;
use fake_registry::lines;
use tidegate::ledger::FlowId;
use tidegate::oci::Digest;
use tidegate::oci::Reference;
use tidegate::oci::media::OCI_MANIFEST;
use tidegate::registry::Error;
use tidegate::registry::Listing;
use tidegate::registry::Registry;
use tokio::task::JoinSet;

use crate::setup::MANIFEST;
use crate::setup::REPOSITORY;
use crate::setup::blob;
use crate::setup::config;
use crate::setup::get;
use crate::setup::head;
use crate::setup::latest;
use crate::setup::name;
use crate::setup::open;
use crate::setup::pair;
use crate::setup::read;

fn wrong<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Err(Error::Wrong(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_manifest_comes_as_it_is() {
    let (upstream, registry) = pair().await;
    let flow = FlowId::next();
    let manifest = registry
        .manifest_get(flow, &name(), &latest(), "a/b, c/d")
        .await
        .unwrap();
    assert_eq!(&manifest.bytes[..], MANIFEST);
    assert_eq!(&*manifest.media_type, OCI_MANIFEST);
    assert_eq!(manifest.digest, Digest::of(MANIFEST));
    let asked = upstream.log().pop().unwrap();
    assert_eq!(asked.path, "/v2/team/app/manifests/latest");
    assert_eq!(asked.header("accept"), Some("a/b, c/d"));
    assert_eq!(asked.header("accept-encoding"), Some("identity"));
    let agent = format!("tidegate/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(asked.header("user-agent"), Some(agent.as_str()));

    let by_digest = Reference::Digest(manifest.digest.clone());
    let head = registry
        .manifest_head(flow, &name(), &by_digest, "")
        .await
        .unwrap();
    assert_eq!(head.digest, Some(manifest.digest));
    assert_eq!(head.size, Some(MANIFEST.len() as u64));
    assert_eq!(head.media_type.as_deref(), Some(OCI_MANIFEST));
    assert_eq!(upstream.log().pop().unwrap().header("accept"), None);
}

#[tokio::test]
async fn a_terse_head_is_fine() {
    let (upstream, registry) = pair().await;
    let terse = Fault::without_header("content-length")
        .and(Fault::without_header("docker-content-digest"))
        .and(Fault::without_header("content-type"));
    upstream.fault(When::any(), terse);
    let flow = FlowId::next();
    let head = registry
        .manifest_head(flow, &name(), &latest(), "")
        .await
        .unwrap();
    assert_eq!(head.digest, None);
    assert_eq!(head.media_type, None);
    let manifest = registry
        .manifest_get(flow, &name(), &latest(), "")
        .await
        .unwrap();
    assert_eq!(manifest.digest, Digest::of(MANIFEST));
    assert_eq!(
        &*manifest.media_type, OCI_MANIFEST,
        "guessed from its shape"
    );
}

#[tokio::test]
async fn a_manifest_that_is_not_what_was_promised_is_refused() {
    let (upstream, registry) = pair().await;
    let liar = upstream.fault(When::any(), Fault::wrong_digest_header());
    let text = wrong(get(&registry).await);
    assert!(text.contains("what came is"), "{text}");
    let by_digest = Reference::Digest(Digest::of(MANIFEST));
    let flow = FlowId::next();
    wrong(registry.manifest_head(flow, &name(), &by_digest, "").await);
    liar.lift();

    let flipped = Fault::flip_bit_at(3).and(Fault::without_header("docker-content-digest"));
    upstream.fault(When::any(), flipped);
    let text = wrong(registry.manifest_get(flow, &name(), &by_digest, "").await);
    assert!(text.contains(Digest::of(MANIFEST).as_str()), "{text}");
}

#[tokio::test]
async fn a_manifest_is_bounded() {
    let (upstream, registry) = pair().await;
    let large = vec![b' '; (8 << 20) + 1];
    upstream.put_manifest(REPOSITORY, "latest", OCI_MANIFEST, large);
    let text = wrong(get(&registry).await);
    assert!(text.contains("more than 8388608 bytes"), "{text}");
    upstream.fault(When::any(), Fault::endless());
    wrong(get(&registry).await);
}

#[tokio::test]
async fn encoded_content_is_refused() {
    let (upstream, registry) = pair().await;
    upstream.fault(When::any(), Fault::extra_header("content-encoding", "gzip"));
    assert!(wrong(get(&registry).await).contains("gzip"));
    upstream.clear_faults();
    upstream.fault(
        When::any(),
        Fault::extra_header("content-encoding", "identity"),
    );
    get(&registry).await.unwrap();
}

#[tokio::test]
async fn an_errors_body_is_told_in_a_line() {
    let (upstream, registry) = pair().await;
    let missing = "nothing".parse().unwrap();
    let flow = FlowId::next();
    let error = registry
        .manifest_get(flow, &name(), &missing, "")
        .await
        .unwrap_err();
    let code = "MANIFEST_UNKNOWN".to_owned();
    assert_eq!(error, Error::NotFound { code });
    upstream.fault(When::any(), Fault::status(403));
    let error = get(&registry).await.unwrap_err();
    assert!(
        matches!(&error, Error::Refused { status: 403, message, .. } if !message.contains('\n'))
    );
    let error = head(&registry).await.unwrap_err();
    let message = "Forbidden".to_owned();
    assert_eq!(
        error,
        Error::Refused {
            status: 403,
            message,
            challenge: None,
        },
        "a HEAD has no body"
    );
}

async fn part(
    registry: &Registry,
    digest: &str,
    range: std::ops::Range<u64>,
) -> Result<(u64, bool, Option<u64>, Vec<u8>), Error> {
    let (flow, digest) = (FlowId::next(), digest.parse().unwrap());
    let blob = registry
        .blob_get(flow, &name(), &digest, Some(range))
        .await?;
    let (offset, partial, total) = (blob.offset, blob.partial, blob.total);
    Ok((offset, partial, total, read(blob).await?))
}

#[tokio::test]
async fn ranges_are_what_was_asked() {
    let (upstream, registry) = pair().await;
    let digest = upstream.put_blob(REPOSITORY, "0123456789");
    let ask = |range| part(&registry, &digest, range);
    let some = ask(2..5).await.unwrap();
    assert_eq!(some, (2, true, Some(10), b"234".to_vec()));
    let rest = ask(7..u64::MAX).await.unwrap();
    assert_eq!(rest, (7, true, Some(10), b"789".to_vec()));
    let beyond = ask(8..100).await.unwrap();
    assert_eq!(beyond, (8, true, Some(10), b"89".to_vec()));
    assert_eq!(ask(10..11).await, Err(Error::Unsatisfiable));
    assert_eq!(ask(5..5).await, Err(Error::Unsatisfiable));

    let deaf = upstream.fault(When::any(), Fault::ignore_range());
    let whole = ask(2..5).await.unwrap();
    assert_eq!(whole, (0, false, Some(10), b"0123456789".to_vec()));
    deaf.lift();
    for range in [
        "bytes 3-5/10",
        "bytes 2-5/10",
        "bytes 2-4",
        "pages 2-4/10",
        "bytes 2-3/10",
    ] {
        let liar = upstream.fault(When::any(), Fault::extra_header("content-range", range));
        wrong(ask(2..5).await);
        liar.lift();
    }
    let (flow, digest) = (FlowId::next(), digest.parse().unwrap());
    assert_eq!(
        registry.blob_head(flow, &name(), &digest).await,
        Ok(Some(10))
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_says_so() {
    let (upstream, registry) = pair().await;
    let digest = upstream.put_generated_blob(REPOSITORY, 100_000, 1);
    upstream.fault(When::any(), Fault::cut_after(50_000));
    let error = read(blob(&registry, &digest).await.unwrap())
        .await
        .unwrap_err();
    let Error::Unreachable(text) = error else {
        panic!("{error:?}");
    };
    assert!(
        text.contains("broke off") && text.contains(&upstream.host()),
        "{text}"
    );
    assert_eq!(
        upstream.log().len(),
        1,
        "a blob is not fetched again behind its reader's back"
    );
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let (upstream, _) = pair().await;
    let digest = upstream.put_generated_blob(REPOSITORY, 100_000, 1);
    upstream.fault(When::any(), Fault::stall_after(50_000, &Gate::new()));
    let mut hasty = config(&upstream.url());
    hasty.timeouts.idle_body = Duration::from_millis(100);
    let registry = open(hasty);
    let mut blob = blob(&registry, &digest).await.unwrap();
    let mut got = 0;
    let error = loop {
        match blob.body.chunk().await.unwrap() {
            Ok(bytes) => got += bytes.len(),
            Err(error) => break error,
        }
    };
    assert_eq!(got, 50_000);
    let text = format!("no bytes from {} for 100ms", upstream.host());
    assert_eq!(error, Error::TimedOut(text));
    assert!(blob.body.chunk().await.is_none());
}

#[tokio::test]
async fn a_slow_reader_is_not_a_stalled_registry() {
    let (upstream, _) = pair().await;
    let digest = upstream.put_generated_blob(REPOSITORY, 20_000_000, 1);
    let mut hasty = config(&upstream.url());
    hasty.timeouts.idle_body = Duration::from_millis(200);
    let registry = open(hasty);
    let mut blob = blob(&registry, &digest).await.unwrap();
    let mut got = blob.body.chunk().await.unwrap().unwrap().len();
    tokio::time::sleep(Duration::from_millis(500)).await;
    while let Some(bytes) = blob.body.chunk().await {
        got += bytes.unwrap().len();
    }
    assert_eq!(got, 20_000_000);
}

#[tokio::test]
async fn a_transfer_that_keeps_moving_is_never_cut() {
    let (upstream, _) = pair().await;
    let digest = upstream.put_generated_blob(REPOSITORY, 1100, 1);
    // A few bytes every 20 ms, for 11 s.
    upstream.fault(When::get("/blobs/"), Fault::slow(100));
    let mut hasty = config(&upstream.url());
    let limit = Duration::from_secs(1);
    hasty.timeouts.connect = limit;
    hasty.timeouts.header = limit;
    hasty.timeouts.idle_body = limit;
    let started = Instant::now();
    let bytes = read(blob(&open(hasty), &digest).await.unwrap()).await;
    assert_eq!(Digest::of(&bytes.unwrap()).as_str(), digest);
    assert!(started.elapsed() > limit * 10, "it was to last");
    assert_eq!(upstream.log().len(), 1, "{}", lines(&upstream.log()));
}

#[tokio::test]
async fn a_permit_is_held_to_the_bodys_end() {
    let (upstream, probe) = pair().await;
    let digest = upstream.put_generated_blob(REPOSITORY, 100_000, 1);
    let gate = Gate::new();
    upstream.fault(When::get("/blobs/"), Fault::stall_after(10, &gate));
    let mut narrow = config(&upstream.url());
    narrow.max_concurrent = Some(2);
    let registry = Arc::new(open(narrow));
    let mut held = blob(&registry, &digest).await.unwrap();
    held.body.chunk().await.unwrap().unwrap();
    let mut readers = JoinSet::new();
    for _ in 0..5 {
        let (registry, digest) = (registry.clone(), digest.clone());
        readers.spawn(async move { read(blob(&registry, &digest).await.unwrap()).await.unwrap() });
    }
    upstream.wait_for(|log| log.len() == 2).await;
    for _ in 0..10 {
        head(&probe).await.unwrap();
    }
    let blobs = || upstream.gets_of(&digest).len();
    assert_eq!(blobs(), 2);
    drop(held);
    upstream
        .wait_for(|log| log.iter().filter(|it| it.is_get_of(&digest)).count() == 3)
        .await;
    gate.open();
    for bytes in readers.join_all().await {
        assert_eq!(bytes.len(), 100_000);
    }
    assert_eq!(blobs(), 6);
    // Errors give their permits back too.
    upstream.fault(When::any(), Fault::status(404));
    for _ in 0..5 {
        head(&registry).await.unwrap_err();
    }
}

fn tags(listing: &Listing) -> Vec<String> {
    let json: serde_json::Value = serde_json::from_slice(&listing.bytes).unwrap();
    serde_json::from_value(json["tags"].clone()).unwrap()
}

#[tokio::test]
async fn lists_are_passed_on() {
    let (upstream, registry) = pair().await;
    for tag in ["a", "b", "c"] {
        upstream.put_manifest(REPOSITORY, tag, OCI_MANIFEST, MANIFEST);
    }
    let flow = FlowId::next();
    let first = registry.tag_list(flow, &name(), "n=2").await.unwrap();
    assert_eq!(tags(&first), ["a", "b"]);
    let next = first.next.expect("a next page");
    assert!(next.contains("last=b") && next.contains("n=2"), "{next}");
    let second = registry.tag_list(flow, &name(), &next).await.unwrap();
    assert_eq!(tags(&second), ["c", "latest"]);
    assert_eq!(second.next, None);

    let digest = Digest::of(MANIFEST);
    let query = "artifactType=a%2Fb";
    let referrers = registry
        .referrers(flow, &name(), &digest, query)
        .await
        .unwrap();
    assert_eq!(&*referrers.media_type, tidegate::oci::media::OCI_INDEX);
    assert_eq!(referrers.filters.as_deref(), Some("artifactType"));
    let bare = Upstream::builder().without_referrers().start().await;
    let none = open(config(&bare.url()))
        .referrers(flow, &name(), &digest, "")
        .await;
    assert!(matches!(none, Err(Error::NotFound { .. })), "{none:?}");
}
