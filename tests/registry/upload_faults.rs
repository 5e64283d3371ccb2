//! Uploads that go wrong: at the registry, on the way, and where the content comes from.

use std::time::Duration;

use bytes::Bytes;
use fake_registry::Ended;
use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::PATIENCE;
use fake_registry::Pki;
use fake_registry::Recorded;
use fake_registry::Target;
use fake_registry::When;
use http::Method;
use tidegate::registry::Error;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::setup::REPOSITORY;
use crate::setup::name;
use crate::upload_rig::LARGE;
use crate::upload_rig::Rig;
use crate::upload_rig::content;
use crate::upload_rig::digest;
use crate::upload_rig::random;
use crate::upload_rig::told;

/// Short, but not for a machine that has much to do.
const SHORT: Duration = Duration::from_secs(1);

/// The only discarded bytes, which are some, and not all.
async fn some_discarded(rig: &Rig, reason: &str, most: usize) {
    let sent = rig.sent().await;
    let [(why, bytes)] = sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!(why, reason);
    assert!((1..=most as u64).contains(&bytes), "{bytes} of {most}");
}

/// Waits until the target has seen its last request break off, whose body has not come to its end.
async fn broken_off(target: &Target) {
    let over = |it: &Recorded| it.method == Method::PUT && it.ended != Ended::Open;
    target.wait_for(|log| log.last().is_some_and(over)).await;
    assert_eq!(target.uploads(), []);
}

#[tokio::test]
async fn an_early_answer_is_the_answer() {
    let pki = Pki::new();
    let bytes = random(LARGE);
    for alpn in ["http/1.1", "h2"] {
        let target = Target::builder()
            .tls_with(&pki, &[alpn])
            .only_hash()
            .start()
            .await;
        let ca = Some(pki.ca_file().to_owned());
        let rig = Rig::with(&target.url(), |config| config.ca = ca);
        let mut answers = Vec::new();
        for (status, code) in [(507, ""), (404, "BLOB_UPLOAD_UNKNOWN"), (403, "DENIED")] {
            let fault = Fault::error(status, code).early(1000);
            target.fault(When::put("/blobs/uploads/").times(1), fault);
            answers.push(rig.upload(&bytes).await.unwrap_err());
        }
        let [
            Error::Status { status: 507, .. },
            Error::NotFound { code },
            Error::Refused { status: 403, .. },
        ] = &answers[..]
        else {
            panic!("{answers:?}");
        };
        assert_eq!(code, "BLOB_UPLOAD_UNKNOWN");
        some_discarded(&rig, "refused", 3 * LARGE - 1).await;
        rig.upload(&bytes).await.unwrap();
        assert_eq!(target.uploads().len(), 1);
        rig.check().await;
    }
}

/// Answers the first request with a session, the second as soon as its header has come, and then
/// reads nothing more.
async fn deaf(listener: &TcpListener) -> tokio::net::TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let header = async |stream: &mut tokio::net::TcpStream| {
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            seen.push(stream.read_u8().await.unwrap());
        }
    };
    header(&mut stream).await;
    let begun = b"HTTP/1.1 202 Accepted\r\nlocation: /upload\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(begun).await.unwrap();
    header(&mut stream).await;
    let refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nlarge";
    stream.write_all(refusal).await.unwrap();
    stream
}

#[tokio::test]
async fn a_connection_whose_other_side_has_answered_and_listens_no_more_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let rig = Rig::at(&url);
    let bytes = random(LARGE);
    let (outcome, mut stream) = tokio::join!(rig.upload(&bytes), deaf(&listener));
    let error = outcome.unwrap_err();
    assert!(
        matches!(error, Error::Restart(_)),
        "413: in chunks: {error:?}"
    );
    let ended = async {
        let mut rest = vec![0; 1 << 20];
        while stream.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {}
    };
    let ended = tokio::time::timeout(PATIENCE, ended).await;
    assert!(ended.is_ok(), "the connection is still there");
    some_discarded(&rig, "refused", LARGE - 1).await;
    rig.check().await;
}

#[tokio::test]
async fn one_that_takes_nothing_is_given_up() {
    let pki = Pki::new();
    for alpn in ["http/1.1", "h2"] {
        let target = Target::builder()
            .tls_with(&pki, &[alpn])
            .narrow()
            .start()
            .await;
        let ca = Some(pki.ca_file().to_owned());
        let rig = Rig::with(&target.url(), |config| {
            config.ca = ca;
            config.timeouts.idle_body = SHORT;
        });
        let gate = Gate::new();
        let held = Fault::hold_taking_after(100_000, &gate);
        target.fault(When::put("/blobs/uploads/"), held);
        let error = rig.upload(&random(LARGE)).await.unwrap_err();
        let Error::TimedOut(text) = &error else {
            panic!("{error:?}");
        };
        assert!(text.contains("took nothing for 1s"), "{text}");
        some_discarded(&rig, "broken", LARGE - 1).await;
        gate.open();
        broken_off(&target).await;
        assert_eq!(rig.receipts()[1].2, "failed");
        rig.check().await;
    }
}

#[tokio::test]
async fn one_that_is_slow_and_takes_something_is_waited_for() {
    let target = Target::builder().narrow().only_hash().start().await;
    // A piece of what kernels hand over may take longer than one would think.
    let rig = Rig::with(&target.url(), |config| {
        config.timeouts.idle_body = Duration::from_secs(3);
    });
    let slow = Fault::take_slowly(2 << 20);
    target.fault(When::put("/blobs/uploads/"), slow);
    rig.upload(&random(8 << 20)).await.unwrap();
    rig.check().await;
}

#[tokio::test]
async fn content_that_is_slow_to_come_is_not_the_registrys_fault() {
    let target = Target::start().await;
    let rig = Rig::with(&target.url(), |config| config.timeouts.idle_body = SHORT);
    let bytes = random(200_000);
    let (sender, content) = told(200_000);
    let session = rig.start().await;
    let feed = async {
        for chunk in [0..100_000, 100_000..200_000] {
            // Longer than the registry may take nothing.
            tokio::time::sleep(SHORT * 3 / 2).await;
            sender.send(Ok(bytes.slice(chunk))).unwrap();
        }
    };
    let digest = digest(&bytes);
    let (outcome, ()) = tokio::join!(rig.send(session, &digest, content), feed);
    outcome.unwrap();
    assert!(target.holds(REPOSITORY, digest.as_str()));
    rig.check().await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_given_up() {
    let target = Target::start().await;
    let rig = Rig::with(&target.url(), |config| config.timeouts.header = 2 * SHORT);
    let gate = Gate::new();
    let silent = Fault::stall_header(&gate);
    target.fault(When::put("/blobs/uploads/"), silent);
    let error = rig.upload(&random(100_000)).await.unwrap_err();
    let Error::TimedOut(text) = &error else {
        panic!("{error:?}");
    };
    assert!(text.contains("no answer from"), "{text}");
    assert_eq!(rig.sent().await, [("broken", 100_000)]);
    rig.check().await;
}

#[tokio::test]
async fn content_that_fails_breaks_the_upload_off() {
    let pki = Pki::new();
    for alpn in ["http/1.1", "h2"] {
        let target = Target::builder().tls_with(&pki, &[alpn]).start().await;
        let ca = Some(pki.ca_file().to_owned());
        let rig = Rig::with(&target.url(), |config| config.ca = ca);
        fail(&target, &rig).await;
        rig.check().await;
    }
}

/// Content that fails in mid-body, before it, and by its length.
async fn fail(target: &Target, rig: &Rig) {
    for (size, given) in [(200_000, 100_000), (1000, 100)] {
        let (sender, content) = told(size);
        sender.send(Ok(random(given))).unwrap();
        sender.send(Err("the upstream is gone".into())).unwrap();
        let session = rig.start().await;
        let error = rig.send(session, &digest(b"x"), content).await.unwrap_err();
        assert_eq!(error, Error::Content("the upstream is gone".into()));
    }
    let (sender, content) = told(200_000);
    sender.send(Ok(random(100_000))).unwrap();
    drop(sender);
    let session = rig.start().await;
    let error = rig.send(session, &digest(b"x"), content).await.unwrap_err();
    assert_eq!(error, Error::Content("it ends after 100000 bytes".into()));
    // The registry keeps nothing of it.
    assert_eq!((target.open_sessions(), target.requests().cancels), (0, 3));
    assert_eq!(target.uploads(), []);
    assert_eq!(rig.receipts()[1].2, "reset");
    some_discarded(rig, "incomplete", 200_000).await;
}

#[tokio::test]
async fn an_upload_that_nobody_wants_any_more_is_broken_off() {
    let target = Target::start().await;
    let rig = Rig::at(&target.url());
    let (sender, content) = told(200_000);
    sender.send(Ok(random(100_000))).unwrap();
    let session = rig.start().await;
    let wanted = digest(b"x");
    tokio::select! {
        outcome = rig.send(session, &wanted, content) => panic!("{outcome:?}"),
        () = target.wait_for(|log| log.iter().any(|it| it.request_bytes == 100_000)) => {}
    }
    assert_eq!(rig.sent().await, [("abandoned", 100_000)]);
    assert_eq!(
        rig.receipts()[1],
        ("upload-finish", 0, "cancelled", 100_000)
    );
    broken_off(&target).await;
    rig.check().await;
}

#[tokio::test]
async fn a_connection_that_breaks_is_not_tried_again_with_what_is_left() {
    for fault in [
        Fault::cut_taking_after(100_000),
        Fault::reset_taking_after(100_000),
        Fault::lose_answer(),
    ] {
        let target = Target::start().await;
        let rig = Rig::at(&target.url());
        target.fault(When::put("/blobs/uploads/"), fault);
        let error = rig.upload(&random(1 << 20)).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
        assert_eq!(target.requests().finishes, 1);
        some_discarded(&rig, "broken", 1 << 20).await;
        rig.check().await;
    }
}

#[tokio::test]
async fn what_is_at_hand_is_tried_again() {
    let target = Target::start().await;
    let rig = Rig::at(&target.url());
    let busy = || Fault::status(503);
    target.fault(When::post("/blobs/uploads/").times(2), busy());
    target.fault(When::put("/blobs/uploads/").times(2), busy());
    rig.upload(&random(1000)).await.unwrap();
    assert_eq!(target.requests().total(), 6);
    let error = Fault::status(503);
    target.fault(When::put("/blobs/uploads/").times(1), error);
    let error = rig.upload(&random(100_000)).await.unwrap_err();
    assert!(
        matches!(error, Error::Status { status: 503, .. }),
        "{error:?}"
    );
    assert_eq!(target.requests().total(), 8);
    let sent = [("committed", 1000), ("refused", 102_000)];
    assert_eq!(rig.sent().await, sent);
    rig.check().await;
}

#[tokio::test]
async fn what_was_not_begun_to_be_sent_is_tried_again_too() {
    let target = Target::start().await;
    let rig = Rig::at(&target.url());
    let bytes = random(200_000);
    let (sender, content) = told(200_000);
    let session = rig.start().await;
    let busy = Fault::status(503).early(0);
    target.fault(When::put("/blobs/uploads/").times(1), busy);
    let feed = async {
        let answered = |it: &Recorded| it.method == Method::PUT;
        target
            .wait_for(|log| log.iter().filter(|it| answered(it)).count() == 2)
            .await;
        sender.send(Ok(bytes.clone())).unwrap();
    };
    let digest = digest(&bytes);
    let (outcome, ()) = tokio::join!(rig.send(session, &digest, content), feed);
    outcome.unwrap();
    assert_eq!(rig.sent().await, [("committed", 200_000)]);
    rig.check().await;
}

#[tokio::test]
async fn a_lost_session_is_told() {
    let target = Target::start().await;
    let rig = Rig::at(&target.url());
    for size in [1000, 200_000] {
        let bytes = random(size);
        let session = rig.start().await;
        target.lose_sessions();
        let error = rig.send(session, &digest(&bytes), content(&bytes)).await;
        let code = "BLOB_UPLOAD_UNKNOWN".to_owned();
        assert_eq!(error, Err(Error::NotFound { code }));
    }
    assert_eq!(target.requests().finishes, 2);
    rig.check().await;
}

#[tokio::test]
async fn other_bytes_than_their_digest_says_are_told() {
    let target = Target::start().await;
    let rig = Rig::at(&target.url());
    let bytes = random(200_000);
    let session = rig.start().await;
    let error = rig.send(session, &digest(b"x"), content(&bytes)).await;
    let Err(Error::Invalid {
        status: 400, code, ..
    }) = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(code, "DIGEST_INVALID");
    assert_eq!(rig.sent().await, [("mismatch", 200_000)]);
    rig.check().await;
}

#[tokio::test]
async fn a_post_and_what_is_at_hand_go_where_they_are_redirected_to() {
    let (target, other) = (Target::start().await, Target::start().await);
    let rig = Rig::at(&target.url());
    target.fault(When::any(), Fault::redirect_to_host(&other.url()));
    let bytes = random(1000);
    rig.upload(&bytes).await.unwrap();
    assert!(other.holds(REPOSITORY, digest(&bytes).as_str()));
    // The session is at the other one, which redirects what it is sent.
    let third = Target::start().await;
    other.fault(
        When::put("/blobs/uploads/"),
        Fault::redirect_to_host(&third.url()),
    );
    let error = rig.upload(&random(200_000)).await.unwrap_err();
    assert!(
        matches!(error, Error::Wrong(_)),
        "its bytes are gone: {error:?}"
    );
    rig.check().await;
}

#[tokio::test]
async fn too_many_uploads_pause_uploads_alone() {
    let target = Target::start().await;
    let rig = Rig::at(&target.url());
    let bytes = random(200_000);
    let much = Fault::status(429).header("retry-after", "60");
    target.fault(When::put("/blobs/uploads/"), much);
    let error = rig.upload(&bytes).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Throttled {
                retry_after: Some(_)
            }
        ),
        "{error:?}"
    );
    let error = rig.start_in(&name()).await.unwrap_err();
    assert!(matches!(error, Error::Throttled { .. }), "{error:?}");
    assert_eq!(target.requests().total(), 2, "the second POST never left");
    let flow = tidegate::ledger::FlowId::next();
    rig.registry.ping(flow).await.unwrap();
    assert_eq!(rig.sent().await, [("refused", 200_000)]);
    rig.check().await;
}

#[tokio::test]
async fn nothing_is_sent_that_is_more_than_was_promised() {
    let target = Target::start().await;
    let rig = Rig::at(&target.url());
    for size in [1000, 200_000] {
        let bytes = random(size);
        let (sender, content) = told(size as u64);
        let more = [&bytes[..], b"more"].concat();
        sender.send(Ok(Bytes::from(more))).unwrap();
        let session = rig.start().await;
        rig.send(session, &digest(&bytes), content).await.unwrap();
        assert!(target.holds(REPOSITORY, digest(&bytes).as_str()));
    }
    rig.check().await;
}
