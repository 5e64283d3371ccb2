//! Blobs, mounts and manifests on their way into a registry: the requests of each way.

use bytes::Bytes;
use fake_registry::Fault;
use fake_registry::Mounts;
use fake_registry::Pki;
use fake_registry::Recorded;
use fake_registry::Tally;
use fake_registry::Target;
use fake_registry::When;
use http::Method;
use serde_json::json;
use tidegate::ledger::FlowId;
use tidegate::oci::Digest;
use tidegate::oci::Name;
use tidegate::oci::Reference;
use tidegate::oci::media::OCI_INDEX;
use tidegate::oci::media::OCI_MANIFEST;
use tidegate::registry::Error;
use tidegate::registry::MountFrom;
use tidegate::registry::NewManifest;
use tidegate::registry::PutManifest;
use tidegate::registry::Started;

use crate::setup::REPOSITORY;
use crate::setup::basic;
use crate::setup::name;
use crate::upload_rig::LARGE;
use crate::upload_rig::Rig;
use crate::upload_rig::content;
use crate::upload_rig::digest;
use crate::upload_rig::random;

const CHUNK: u64 = 16 << 20;

fn requests(starts: usize, chunks: usize, finishes: usize) -> Tally {
    Tally {
        starts,
        chunks,
        finishes,
        ..Tally::default()
    }
}

fn puts(target: &Target) -> Vec<Recorded> {
    let log = target.log().into_iter();
    log.filter(|it| it.method == Method::PUT).collect()
}

fn holds(target: &Target, bytes: &Bytes) {
    let kept = target.blob(REPOSITORY, digest(bytes).as_str());
    assert!(kept.as_ref() == Some(bytes), "another blob, or none");
}

#[tokio::test]
async fn a_blob_is_a_post_and_a_put_of_known_length() {
    let pki = Pki::new();
    for alpn in [&["http/1.1"][..], &["h2"]] {
        let target = Target::builder().tls_with(&pki, alpn).start().await;
        let ca = Some(pki.ca_file().to_owned());
        let rig = Rig::with(&target.url(), |config| config.ca = ca);
        let sizes = [0, 1, 64 << 10, (64 << 10) + 1, 3 << 20];
        for size in sizes {
            let bytes = random(size);
            rig.upload(&bytes).await.unwrap();
            holds(&target, &bytes);
            let put = puts(&target).pop().unwrap();
            let length = size.to_string();
            assert_eq!(put.header("content-length"), Some(length.as_str()));
            assert_eq!(put.header("transfer-encoding"), None);
            assert_eq!(put.header("content-type"), Some("application/octet-stream"));
            let receipts = rig.receipts();
            let last = &receipts[receipts.len() - 2..];
            let finished = ("upload-finish", 201, "complete", size as u64);
            assert_eq!(last, [("upload-start", 202, "complete", 0), finished]);
        }
        assert_eq!(target.requests(), requests(5, 0, 5));
        let all: usize = sizes.iter().sum();
        assert_eq!(rig.sent().await, [("committed", all as u64)]);
        rig.check().await;
    }
}

async fn mount(rig: &Rig, digest: &Digest) -> Result<Started, Error> {
    let from: Name = "other/app".parse().unwrap();
    let mount = MountFrom {
        digest,
        from: &from,
    };
    let flow = FlowId::next();
    rig.registry.upload_start(flow, &name(), Some(mount)).await
}

fn accepted(rig: &Rig) -> Vec<(String, bool)> {
    let receipts = rig.all_receipts();
    let mounts = receipts.into_iter().filter_map(|it| it.mount);
    let mounts = mounts.map(|it| (it.from.to_string(), it.accepted));
    mounts.collect()
}

#[tokio::test]
async fn a_mount_is_one_post_and_one_that_is_not_granted_is_the_upload() {
    let target = Target::start().await;
    let rig = Rig::at(&target.url());
    let bytes = random(100_000);
    target.put_blob("other/app", bytes.clone());
    let digest = digest(&bytes);
    assert!(matches!(mount(&rig, &digest).await, Ok(Started::Mounted)));
    holds(&target, &bytes);
    assert_eq!(target.requests().total(), 1);

    target.set_mounts(Mounts::Never);
    target.forget_blob(REPOSITORY, digest.as_str());
    let Started::Session(session) = mount(&rig, &digest).await.unwrap() else {
        panic!("none is granted");
    };
    rig.send(session, &digest, content(&bytes)).await.unwrap();
    holds(&target, &bytes);
    assert_eq!(
        (target.requests().mounts, target.requests().total()),
        (2, 3)
    );
    let from = |accepted| ("other/app".to_owned(), accepted);
    assert_eq!(accepted(&rig), [from(true), from(false)]);
    rig.check().await;
}

#[tokio::test]
async fn a_mount_that_is_refused_altogether_becomes_an_upload() {
    let target = Target::start().await;
    let rig = Rig::at(&target.url());
    let wanted = digest(b"x");
    let refusals = [403, 404, 400, 405];
    for status in refusals {
        let mounts = When::post("/blobs/uploads/").and(|it| it.query.contains("mount="));
        target.fault(mounts.times(1), Fault::status(status));
        let started = mount(&rig, &wanted).await.unwrap();
        assert!(matches!(started, Started::Session(_)), "{started:?}");
    }
    let requests = target.requests();
    assert_eq!((requests.mounts, requests.starts), (4, 4));
    // What may be over soon is no refusal.
    let busy = Fault::status(503);
    target.fault(When::post("/blobs/uploads/").times(3), busy);
    assert!(mount(&rig, &wanted).await.is_err());
    assert_eq!(target.requests().starts, 4);
    rig.check().await;
}

#[tokio::test]
async fn a_mount_of_something_else_is_none() {
    let target = Target::start().await;
    let rig = Rig::at(&target.url());
    let bytes = random(1000);
    target.put_blob("other/app", bytes.clone());
    target.fault(When::post("/blobs/uploads/"), Fault::wrong_digest_header());
    let error = mount(&rig, &digest(&bytes)).await.unwrap_err();
    assert!(matches!(error, Error::Wrong(_)), "{error:?}");
    rig.check().await;
}

#[tokio::test]
async fn sessions_are_where_the_registry_says() {
    let bytes = random(100_000);
    for builder in [
        Target::builder().relative_locations(),
        Target::builder().uploads_elsewhere(),
        Target::builder().relative_locations().uploads_elsewhere(),
    ] {
        let target = builder.start().await;
        let rig = Rig::at(&target.url());
        rig.upload(&bytes).await.unwrap();
        holds(&target, &bytes);
        let put = puts(&target).pop().unwrap();
        assert!(put.query.starts_with("part=0&digest=sha256"), "{put:?}");
        rig.check().await;
    }
}

#[tokio::test]
async fn a_session_on_another_host_gets_no_credentials() {
    let (target, other) = (
        Target::builder().basic("me", "hunter2").start().await,
        Target::start().await,
    );
    let rig = Rig::with(&target.url(), |config| {
        config.credentials = basic("me", "hunter2");
    });
    rig.start().await;
    let elsewhere = Rig::at(&other.url()).start().await;
    drop(elsewhere);
    let place = format!(
        "{}/v2/{REPOSITORY}/blobs/uploads/session-1?part=0",
        other.url()
    );
    let to_other = Fault::extra_header("location", &place);
    target.fault(When::post("/blobs/uploads/"), to_other);
    let bytes = random(100_000);
    rig.upload(&bytes).await.unwrap();
    holds(&other, &bytes);
    assert_eq!(puts(&other)[0].header("authorization"), None);
    assert_eq!(puts(&target).len(), 0);
    rig.check().await;
}

#[tokio::test]
async fn a_registry_that_does_not_know_of_its_tls_is_asked_over_tls_all_the_same() {
    let pki = Pki::new();
    let target = Target::builder().tls(&pki).start().await;
    let ca = Some(pki.ca_file().to_owned());
    let rig = Rig::with(&target.url(), |config| config.ca = ca);
    let place = format!("http://127.0.0.1/v2/{REPOSITORY}/blobs/uploads/session-1?part=0");
    let plain = Fault::extra_header("location", &place);
    target.fault(When::post("/blobs/uploads/").times(1), plain);
    let bytes = random(100_000);
    rig.upload(&bytes).await.unwrap();
    holds(&target, &bytes);
    // Another host in clear text is another matter.
    let plain = Fault::extra_header("location", "http://localhost/upload");
    target.fault(When::post("/blobs/uploads/"), plain);
    let error = rig.start_in(&name()).await.unwrap_err();
    assert!(matches!(error, Error::Wrong(_)), "{error:?}");
    rig.check().await;
}

#[tokio::test]
async fn one_that_refuses_the_put_gets_a_patch_from_then_on() {
    for refusal in [
        Fault::error(405, "UNSUPPORTED"),
        Fault::error(400, "UNSUPPORTED"),
        Fault::relabel(404).and(Fault::length(0)),
    ] {
        let target = Target::start().await;
        let rig = Rig::at(&target.url());
        let with_body =
            When::put("/blobs/uploads/").and(|it| it.header("content-length") != Some("0"));
        target.fault(with_body, refusal);
        let bytes = random(200_000);
        let error = rig.upload(&bytes).await.unwrap_err();
        assert!(matches!(error, Error::Restart(_)), "{error:?}");
        rig.upload(&bytes).await.unwrap();
        rig.upload(&random(100)).await.unwrap();
        holds(&target, &bytes);
        assert_eq!(target.requests(), requests(3, 2, 3));
        let sent = [("committed", 200_100), ("refused", 200_000)];
        assert_eq!(rig.sent().await, sent);
        rig.check().await;
    }
}

#[tokio::test]
async fn one_that_takes_no_such_long_body_gets_chunks_from_then_on() {
    let target = Target::builder().put_limit(CHUNK).start().await;
    let rig = Rig::at(&target.url());
    let bytes = random(LARGE);
    let error = rig.upload(&bytes).await.unwrap_err();
    assert!(matches!(error, Error::Restart(_)), "{error:?}");
    target.clear_log();
    rig.upload(&bytes).await.unwrap();
    holds(&target, &bytes);
    let log = target.log();
    let chunks = log.iter().filter(|it| it.method == Method::PATCH);
    let ranges: Vec<_> = chunks.filter_map(|it| it.header("content-range")).collect();
    let (first, last) = (format!("0-{}", CHUNK - 1), format!("{CHUNK}-{}", LARGE - 1));
    assert_eq!(ranges, [first, last]);
    assert_eq!(target.requests(), requests(1, 2, 1));
    // What fits is sent as before.
    rig.upload(&random(200_000)).await.unwrap();
    assert_eq!(target.requests(), requests(2, 2, 2));
    rig.check().await;
}

#[tokio::test]
async fn chunks_are_as_long_as_the_registry_wants_them() {
    let least = CHUNK + (1 << 20);
    let target = Target::builder().put_limit(CHUNK).chunk_min(least);
    let target = target.start().await;
    let rig = Rig::at(&target.url());
    let bytes = random(LARGE);
    rig.upload(&bytes).await.unwrap_err();
    rig.upload(&bytes).await.unwrap();
    holds(&target, &bytes);
    let log = target.log();
    let chunks = log.iter().filter(|it| it.method == Method::PATCH);
    let sizes: Vec<_> = chunks.map(|it| it.request_bytes).collect();
    assert_eq!(sizes, [least, LARGE as u64 - least]);
    rig.check().await;
}

#[tokio::test]
async fn a_chunk_that_is_refused_discards_those_before_it() {
    let target = Target::builder().put_limit(CHUNK).start().await;
    let rig = Rig::at(&target.url());
    let bytes = random(LARGE);
    rig.upload(&bytes).await.unwrap_err();
    let refused = rig.sent().await;
    let second = Fault::status(500);
    target.fault(When::patch("/blobs/uploads/").nth(2), second);
    let error = rig.upload(&bytes).await.unwrap_err();
    assert!(
        matches!(error, Error::Status { status: 500, .. }),
        "{error:?}"
    );
    let [("refused", before)] = refused[..] else {
        panic!("{refused:?}");
    };
    assert_eq!(rig.sent().await, [("refused", before + LARGE as u64)]);
    rig.check().await;
}

async fn put(
    rig: &Rig,
    reference: &str,
    media_type: &str,
    json: &str,
) -> Result<PutManifest, Error> {
    let reference: Reference = reference.parse().unwrap();
    let manifest = NewManifest {
        media_type,
        bytes: Bytes::copy_from_slice(json.as_bytes()),
    };
    let flow = FlowId::next();
    rig.registry
        .manifest_put(flow, &name(), &reference, manifest)
        .await
}

fn image(config: &Digest, subject: Option<&Digest>) -> String {
    let subject = subject.map(|it| json!({"digest": it.as_str()}));
    json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"digest": config.as_str()}, "layers": [], "subject": subject,
    })
    .to_string()
}

#[tokio::test]
async fn a_manifest_is_one_put_with_its_type() {
    let target = Target::start().await;
    let rig = Rig::at(&target.url());
    let config = random(100);
    target.put_blob(REPOSITORY, config.clone());
    let plain = image(&digest(&config), None);
    let put_as = put(&rig, "latest", OCI_MANIFEST, &plain).await.unwrap();
    let is = digest(plain.as_bytes());
    assert_eq!((put_as.digest, put_as.subject), (Some(is.clone()), None));
    let (media_type, bytes) = target.manifest(REPOSITORY, "latest").unwrap();
    assert_eq!(
        (media_type.as_str(), &bytes[..]),
        (OCI_MANIFEST, plain.as_bytes())
    );
    let referrer = image(&digest(&config), Some(&is));
    let by_digest = digest(referrer.as_bytes());
    let put_as = put(&rig, by_digest.as_str(), OCI_MANIFEST, &referrer)
        .await
        .unwrap();
    assert_eq!(put_as.subject, Some(is));
    assert_eq!(
        (target.requests().manifests, target.requests().total()),
        (2, 2)
    );
    let all = (plain.len() + referrer.len()) as u64;
    assert_eq!(rig.sent().await, [("committed", all)]);
    assert_eq!(rig.receipts()[0].0, "manifest-put");
    rig.check().await;
}

#[tokio::test]
async fn what_a_manifest_lacks_is_told() {
    let target = Target::start().await;
    let rig = Rig::at(&target.url());
    let lacking = digest(b"lacking");
    let json = image(&lacking, None);
    let error = put(&rig, "latest", OCI_MANIFEST, &json).await.unwrap_err();
    assert_eq!(error, Error::BlobUnknown(vec![lacking.clone()]));
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{"digest": lacking.as_str()}]});
    let index = index.to_string();
    let error = put(&rig, "latest", OCI_INDEX, &index).await.unwrap_err();
    assert_eq!(error, Error::BlobUnknown(vec![lacking]));
    assert_eq!(target.requests().total(), 2, "nothing is tried again");
    let all = (json.len() + index.len()) as u64;
    assert_eq!(rig.sent().await, [("refused", all)]);
    rig.check().await;
}

#[tokio::test]
async fn a_registry_that_took_another_manifest_is_not_believed() {
    let target = Target::start().await;
    let rig = Rig::at(&target.url());
    target.fault(When::put("/manifests/"), Fault::wrong_digest_header());
    let empty = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).to_string();
    let error = put(&rig, "latest", OCI_INDEX, &empty).await.unwrap_err();
    assert!(matches!(error, Error::Wrong(_)), "{error:?}");
    assert_eq!(rig.sent().await, [("mismatch", empty.len() as u64)]);
    rig.check().await;
}

#[tokio::test]
async fn a_session_is_cancelled() {
    let target = Target::start().await;
    let rig = Rig::at(&target.url());
    let session = rig.start().await;
    assert_eq!(target.open_sessions(), 1);
    rig.registry.upload_cancel(FlowId::next(), session).await;
    assert_eq!(target.open_sessions(), 0);
    assert_eq!(rig.receipts()[1], ("delete", 204, "complete", 0));
    rig.check().await;
}
