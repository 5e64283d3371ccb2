//! What a tag costs the upstream: every request that reaches it is counted.

use std::time::Duration;

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::When;
use futures_util::future::join_all;
use tidegate::oci::media;

use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::cache;

const TAG: &str = "demo/app/manifests/v1";

fn hours() -> Setup {
    Setup {
        tag_ttl: Duration::from_secs(3600),
        ..Setup::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_never_seen_is_one_get_for_all_who_ask() {
    let rig = Rig::with(hours()).await;
    let digest = rig.put_image("demo/app", "v1", &[]);
    let replies = join_all((0..20).map(|_| rig.manifest(TAG))).await;
    for reply in replies {
        assert_eq!(reply.header("docker-content-digest"), Some(&*digest));
        assert_eq!(reply.header("content-type"), Some(media::OCI_MANIFEST));
    }
    assert_eq!(rig.asked(), (0, 1));
}

/// One client asks for a new tag's digest, as docker does, another for its manifest, as podman does:
/// whoever comes first, what comes is fetched once.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_tag_is_fetched_once_for_who_asks_by_head_and_who_asks_by_get() {
    for first in ["HEAD", "GET"] {
        let rig = Rig::with(hours()).await;
        let digest = rig.put_image("demo/app", "v1", &[]);
        rig.put_image("demo/other", "v1", &[]);
        let gate = Gate::new();
        let held = match first {
            "HEAD" => When::head("demo/app/manifests/v1"),
            _ => When::get("demo/app/manifests/v1"),
        };
        rig.up.fault(held.times(1), Fault::stall_header(&gate));
        let by_digest = async {
            let head = rig.head(TAG).await;
            assert_eq!(head.header("docker-content-digest"), Some(&*digest));
            rig.manifest(&format!("demo/app/manifests/{digest}")).await
        };
        let by_tag = rig.manifest(TAG);
        let is_held = rig
            .up
            .wait_for(|log| log.iter().any(|asked| asked.method == first));
        let then = async {
            // The second one has long been there when these have been answered.
            for _ in 0..20 {
                rig.head("demo/other/manifests/v1").await;
            }
            gate.open();
        };
        let (one, other) = match first {
            "HEAD" => {
                let second = async {
                    is_held.await;
                    tokio::join!(by_tag, then).0
                };
                tokio::join!(by_digest, second)
            }
            _ => {
                let second = async {
                    is_held.await;
                    tokio::join!(by_digest, then).0
                };
                tokio::join!(by_tag, second)
            }
        };
        assert_eq!((one.status.as_u16(), other.status.as_u16()), (200, 200));
        let gets = rig
            .up
            .count(|asked| asked.method == "GET" && asked.path.contains("demo/app/manifests"));
        assert_eq!(gets, 1, "the {first} came first");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_young_tag_is_answered_without_a_word_upstream() {
    let rig = Rig::with(hours()).await;
    let digest = rig.put_image("demo/app", "v1", &[]);
    rig.manifest(TAG).await;
    rig.up.clear_log();
    for path in [TAG, &format!("demo/app/manifests/{digest}")] {
        assert_eq!(cache(&rig.manifest(path).await), "HIT");
        assert_eq!(cache(&rig.head(path).await), "HIT");
    }
    assert_eq!(rig.asked(), (0, 0));
    let rig = rig.restarted().await;
    assert_eq!(
        cache(&rig.manifest(TAG).await),
        "HIT",
        "its age outlives a restart"
    );
    assert_eq!(rig.asked(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_tag_is_one_head_for_all_who_ask() {
    let rig = Rig::start().await;
    rig.put_image("demo/app", "v1", &[]);
    rig.manifest(TAG).await;
    rig.up.clear_log();
    rig.up.fault(When::head("v1"), Fault::slow(1));
    let replies = join_all((0..20).map(|_| rig.manifest(TAG))).await;
    assert!(replies.iter().all(|reply| cache(reply) == "HIT"));
    assert!((1..20).contains(&rig.asked().0), "{:?}", rig.asked());
    assert_eq!(rig.asked().1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_whose_digest_is_not_there_is_asked_for_itself() {
    let rig = Rig::with(hours()).await;
    let digest = rig.put_image("demo/app", "v1", &[]);
    // A registry that isn't of one mind: a HEAD tells of a manifest that a GET doesn't find.
    let fault = Fault::wrong_digest_header();
    rig.up.fault(When::head("v1").times(1), fault);
    let head = rig.head(TAG).await;
    assert_ne!(head.header("docker-content-digest"), Some(&*digest));
    for cached in ["MISS", "HIT"] {
        let reply = rig.manifest(TAG).await;
        assert_eq!((reply.status.as_u16(), cache(&reply)), (200, cached));
        assert_eq!(reply.header("docker-content-digest"), Some(&*digest));
    }
    assert_eq!(
        rig.asked(),
        (1, 2),
        "the digest that isn't there, then the tag"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_tag_is_one_head_and_one_get() {
    let rig = Rig::start().await;
    rig.put_image("demo/app", "v1", &[]);
    rig.manifest(TAG).await;
    rig.up.clear_log();
    let old = rig.put_image("demo/app", "v2", &[]);
    rig.up.move_tag("demo/app", "v1", &old);
    let reply = rig.manifest(TAG).await;
    assert_eq!(reply.header("docker-content-digest"), Some(&*old));
    assert_eq!(rig.asked(), (1, 1));
}

/// As docker pulls: a `HEAD` of the tag, then a `GET` by digest.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_then_a_get_by_digest_is_enough_to_serve_the_tag_afterwards() {
    let rig = Rig::with(hours()).await;
    let digest = rig.put_image("demo/app", "v1", &[]);
    let head = rig.head(TAG).await;
    assert_eq!(head.header("docker-content-digest"), Some(&*digest));
    assert!(head.content_length().is_some());
    assert_eq!(rig.asked(), (1, 0), "a HEAD costs no body");
    rig.manifest(&format!("demo/app/manifests/{digest}")).await;
    assert_eq!(rig.asked(), (1, 1));
    rig.up.stop().await;
    let rig = rig.restarted().await;
    assert_eq!(rig.head(TAG).await.status.as_u16(), 200);
    assert_eq!(
        rig.manifest(TAG).await.header("docker-content-digest"),
        Some(&*digest)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_head_no_get_and_the_stored_manifest() {
    for status in [429, 500, 503] {
        let rig = Rig::start().await;
        rig.put_image("demo/app", "v1", &[]);
        rig.manifest(TAG).await;
        rig.up.clear_log();
        rig.up.fault(
            When::head("v1"),
            Fault::status(status).header("retry-after", "3600"),
        );
        let reply = rig.manifest(TAG).await;
        assert_eq!(
            (reply.status.as_u16(), cache(&reply)),
            (200, "STALE"),
            "{status}"
        );
        assert!(
            reply
                .header("warning")
                .is_some_and(|warning| warning.starts_with("110"))
        );
        let (heads, gets) = rig.asked();
        assert_eq!(gets, 0, "{status}");
        for _ in 0..20 {
            assert_eq!(cache(&rig.manifest(TAG).await), "STALE");
        }
        assert_eq!(
            rig.asked(),
            (heads, 0),
            "while the outage lasts, nothing is asked"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_down_or_silent_is_stood_in_for_at_once() {
    for silent in [false, true] {
        let rig = Rig::with(Setup::impatient()).await;
        let digest = rig.put_image("demo/app", "v1", &[]);
        rig.manifest(TAG).await;
        if silent {
            rig.up.hole().await
        } else {
            rig.up.stop().await
        }
        let reply = rig.manifest(TAG).await;
        assert_eq!(cache(&reply), "STALE");
        assert_eq!(reply.header("docker-content-digest"), Some(&*digest));
        let since = std::time::Instant::now();
        for _ in 0..50 {
            assert_eq!(cache(&rig.manifest(TAG).await), "STALE");
        }
        // Fifty timeouts would be a hundred seconds.
        assert!(
            since.elapsed() < Duration::from_secs(5),
            "{:?}",
            since.elapsed()
        );
        let missing = rig.manifest("demo/app/manifests/v2").await;
        assert_eq!(missing.status.as_u16(), if silent { 504 } else { 502 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_probe_finds_the_upstream_back() {
    let rig = Rig::start().await;
    rig.put_image("demo/app", "v1", &[]);
    rig.manifest(TAG).await;
    rig.up.stop().await;
    assert_eq!(cache(&rig.manifest(TAG).await), "STALE");
    rig.up.restart().await;
    let new = rig.put_image("demo/app", "v2", &[]);
    rig.up.move_tag("demo/app", "v1", &new);
    rig.up.clear_log();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
    while rig.manifest(TAG).await.header("docker-content-digest") != Some(&*new) {
        assert!(
            tokio::time::Instant::now() < deadline,
            "it was never found back"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (heads, gets) = rig.asked();
    assert!(heads <= 3 && gets == 1, "{heads} HEADs, {gets} GETs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_gone_is_gone_and_remembered() {
    let rig = Rig::start().await;
    rig.put_image("demo/app", "v1", &[]);
    rig.manifest(TAG).await;
    rig.up.delete_tag("demo/app", "v1");
    rig.up.clear_log();
    for _ in 0..5 {
        let reply = rig.manifest(TAG).await;
        assert_eq!(reply.status.as_u16(), 404);
        assert_eq!(
            reply.json().await.unwrap()["errors"][0]["code"],
            "MANIFEST_UNKNOWN"
        );
    }
    assert_eq!(rig.asked(), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absence_is_forgotten_after_its_time() {
    let rig = Rig::with(Setup {
        negative_ttl: Duration::ZERO,
        ..Setup::default()
    })
    .await;
    assert_eq!(rig.manifest(TAG).await.status.as_u16(), 404);
    rig.put_image("demo/app", "v1", &[]);
    assert_eq!(rig.manifest(TAG).await.status.as_u16(), 200);
    assert_eq!(rig.asked(), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_by_digest_never_asks_again() {
    let rig = Rig::start().await;
    let digest = rig.put_image("demo/app", "v1", &[]);
    let path = format!("demo/app/manifests/{digest}");
    assert_eq!(cache(&rig.manifest(&path).await), "MISS");
    rig.up.stop().await;
    let rig = rig.restarted().await;
    assert_eq!(cache(&rig.manifest(&path).await), "HIT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_can_not_read_the_type_gets_what_the_upstream_would_give_it() {
    let rig = Rig::with(hours()).await;
    let image = rig
        .up
        .put_manifest("demo/app", "one", media::DOCKER_MANIFEST, "{\"a\":1}");
    let list = rig
        .up
        .put_manifest("demo/app", "v1", media::DOCKER_LIST, "{\"manifests\":[]}");
    let other = rig
        .up
        .put_manifest("demo/app", "x", media::DOCKER_MANIFEST, "{\"b\":2}");
    assert_ne!(image, other);
    assert_eq!(
        rig.manifest(TAG).await.header("docker-content-digest"),
        Some(&*list)
    );
    rig.up.clear_log();
    for _ in 0..2 {
        let old = rig
            .client
            .get(rig.url(TAG))
            .header("accept", media::DOCKER_MANIFEST);
        old.send().await.unwrap();
    }
    let log = rig.up.log();
    assert_eq!(
        log.len(),
        1,
        "asked once with the client's own Accept, then remembered"
    );
    assert_eq!(log[0].header("accept"), Some(media::DOCKER_MANIFEST));
    // Who reads lists is not given what was converted for others.
    assert_eq!(
        rig.manifest(TAG).await.header("docker-content-digest"),
        Some(&*list)
    );
    assert_eq!(rig.up.log().len(), 1);
    let reads_lists = rig
        .client
        .get(rig.url(TAG))
        .header("accept", media::DOCKER_LIST);
    assert_eq!(cache(&reads_lists.send().await.unwrap()), "HIT");
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_and_catalog_of_an_upstream_that_is_out() {
    let rig = Rig::start().await;
    rig.put_image("demo/app", "v1", &[]);
    rig.manifest(TAG).await;
    rig.up.stop().await;
    let rig = rig.restarted().await;
    let tags = rig.get("demo/app/tags/list").await;
    assert_eq!(cache(&tags), "STALE");
    assert_eq!(
        tags.json().await.unwrap()["tags"],
        serde_json::json!(["v1"])
    );
    let catalog = rig.get("_catalog").await.json().await.unwrap();
    assert_eq!(
        catalog["repositories"],
        serde_json::json!(["up.test/demo/app"])
    );
}
