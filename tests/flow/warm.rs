//! What prefetch asks of the flow: the source is asked now, once, and clients see what it said.

use std::sync::Arc;
use std::time::Duration;

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::ImageBuilder;
use fake_registry::Upstream;
use fake_registry::When;
use futures_util::future::join_all;
use tidegate::flow::Error;
use tidegate::flow::Kept;
use tidegate::flow::PullThrough;
use tidegate::flow::ReferrersBy;
use tidegate::flow::Resolved;
use tidegate::ledger::FlowId;
use tidegate::oci::Descriptor;
use tidegate::oci::Repository;
use tidegate::oci::Tag;
use tidegate::oci::media;
use tidegate::registry::Credentials;
use tidegate::target::Cause;
use tidegate::target::Missing;
use tidegate::target::Pace;

use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::cache;

fn repository(name: &str) -> Repository {
    Repository::new(
        "up.test".parse().expect("legal"),
        name.parse().expect("legal"),
    )
}

fn tag(text: &str) -> Tag {
    text.parse().expect("legal")
}

fn cause() -> Cause {
    Cause {
        flow: FlowId::next(),
        pace: Pace::Background,
        ours: true,
    }
}

fn blob(digest: &str, size: u64) -> Descriptor {
    Descriptor {
        media_type: media::OCTET_STREAM.into(),
        digest: digest.parse().expect("legal"),
        size,
    }
}

/// Asks the flow for something, where it runs.
async fn asked<T, F>(rig: &Rig, ask: impl FnOnce(Arc<PullThrough>) -> F) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    rig.spawn(ask(rig.flow.clone())).await.expect("it ends")
}

async fn resolve(rig: &Rig, name: &str, of: &str, known: bool) -> Result<Resolved, Error> {
    let (repository, of) = (repository(name), tag(of));
    asked(rig, |flow| async move {
        flow.resolve(&repository, &of, known, cause()).await
    })
    .await
}

async fn keep(rig: &Rig, name: &str, digest: &str, size: u64) -> Result<Kept, Missing> {
    let (repository, blob) = (repository(name), blob(digest, size));
    asked(rig, |flow| async move {
        flow.keep_blob(&repository, &blob, cause()).await
    })
    .await
}

fn patient() -> Setup {
    Setup {
        tag_ttl: Duration::from_secs(3600),
        ..Setup::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_tag_costs_one_get_and_a_known_one_one_head() {
    let rig = Rig::with(patient()).await;
    let first = rig.put_image("demo/app", "v1", &[]);
    let new = resolve(&rig, "demo/app", "v1", false).await.unwrap();
    assert_eq!(new.digest.as_str(), first);
    assert_eq!(new.media_type.as_deref(), Some(media::OCI_MANIFEST));
    assert_eq!((new.before, new.size.is_some()), (None, true));
    assert_eq!(rig.asked(), (0, 1));
    // Whatever `tag_ttl` says.
    let again = resolve(&rig, "demo/app", "v1", false).await.unwrap();
    assert_eq!(again.before.as_ref(), Some(&again.digest));
    assert_eq!(rig.asked(), (1, 1));
    let second = rig.put_image("demo/app", "v2", &[]);
    rig.up.move_tag("demo/app", "v1", &second);
    let moved = resolve(&rig, "demo/app", "v1", false).await.unwrap();
    assert_eq!(moved.digest.as_str(), second);
    assert_eq!(moved.before.unwrap().as_str(), first);
    assert_eq!(rig.asked(), (2, 1));
    // A tag that only a target knows.
    let other = resolve(&rig, "demo/app", "v2", true).await.unwrap();
    assert_eq!((other.digest.as_str(), other.before), (&*second, None));
    assert_eq!(rig.asked(), (3, 1));
    // Clients hear it without a word upstream but for the manifest itself.
    let reply = rig.manifest("demo/app/manifests/v1").await;
    assert_eq!(reply.header("docker-content-digest"), Some(&*second));
    assert_eq!(rig.asked(), (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_twice_at_once_is_asked_once() {
    let rig = Rig::with(patient()).await;
    rig.put_image("demo/app", "v1", &[]);
    let gate = Gate::new();
    rig.up
        .fault(When::get("manifests/v1"), Fault::stall_header(&gate));
    let client = rig.manifest("demo/app/manifests/v1");
    let both = join_all([
        resolve(&rig, "demo/app", "v1", false),
        resolve(&rig, "demo/app", "v1", false),
    ]);
    let all = async { tokio::join!(client, both) };
    let open = async {
        rig.up.wait_for(|log| !log.is_empty()).await;
        gate.open();
    };
    let ((reply, both), ()) = tokio::join!(all, open);
    assert_eq!(reply.status, 200);
    assert!(both.iter().all(Result::is_ok), "{both:?}");
    assert_eq!(rig.up.count(|it| it.path.ends_with("manifests/v1")), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_before_is_given_for_one_of_now() {
    let rig = Rig::with(patient()).await;
    rig.put_image("demo/app", "v1", &[]);
    resolve(&rig, "demo/app", "v1", false).await.unwrap();
    for status in [429, 503] {
        rig.up
            .fault(When::head("manifests/v1"), Fault::status(status));
        let refused = resolve(&rig, "demo/app", "v1", false).await;
        assert!(
            matches!(refused, Err(Error::Upstream { .. })),
            "{refused:?}"
        );
        rig.up.clear_faults();
    }
    // A client is served what is stored meanwhile.
    let reply = rig.manifest("demo/app/manifests/v1").await;
    assert_eq!(reply.status, 200);
    // Nor is a 404 of before.
    let missing = resolve(&rig, "demo/app", "v2", false).await;
    assert!(matches!(missing, Err(Error::NoManifest(..))), "{missing:?}");
    rig.put_image("demo/app", "v2", &[]);
    assert!(resolve(&rig, "demo/app", "v2", false).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_is_kept_without_a_reader() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", 8 * MIB, 8201);
    let kept = keep(&rig, "demo/app", &digest, 8 * MIB).await.unwrap();
    let size = 8 * MIB;
    assert_eq!(
        kept,
        Kept {
            was_there: false,
            bytes: size
        }
    );
    let kept = keep(&rig, "demo/app", &digest, size).await.unwrap();
    assert_eq!(
        kept,
        Kept {
            was_there: true,
            bytes: size
        }
    );
    let reply = rig.get(&format!("demo/app/blobs/{digest}")).await;
    assert_eq!(cache(&reply), "HIT");
    assert_eq!(reply.digest().await.unwrap(), digest);
    assert_eq!(rig.asked(), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_and_a_prefetch_share_one_get() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", 8 * MIB, 8202);
    let gate = Gate::new();
    rig.up
        .fault(When::get(&digest), Fault::stall_after(MIB, &gate));
    let (repository, wanted) = (repository("demo/app"), blob(&digest, 8 * MIB));
    let flow = rig.flow.clone();
    let keeping = rig.spawn(async move { flow.keep_blob(&repository, &wanted, cause()).await });
    rig.up.wait_for(|log| !log.is_empty()).await;
    let client = rig.get(&format!("demo/app/blobs/{digest}")).await;
    assert_eq!(cache(&client), "JOIN");
    gate.open();
    assert_eq!(client.digest().await.unwrap(), digest);
    assert!(!keeping.await.unwrap().unwrap().was_there);
    assert_eq!(rig.asked(), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_does_not_take_is_not_kept() {
    let setup = Setup {
        max_size: Some(MIB),
        ..Setup::default()
    };
    let rig = Rig::with(setup).await;
    let digest = rig.up.put_generated_blob("demo/app", 2 * MIB, 8203);
    let refused = keep(&rig, "demo/app", &digest, 2 * MIB).await;
    assert!(matches!(refused, Err(Missing::Gone(_))), "{refused:?}");
    let gone = format!("sha256:{}", "0".repeat(64));
    let refused = keep(&rig, "demo/app", &gone, 1).await;
    assert!(matches!(refused, Err(Missing::Gone(_))), "{refused:?}");
    let wrong = rig.up.put_generated_blob("demo/app", 1000, 8204);
    rig.up.fault(When::get(&wrong), Fault::flip_bit_at(500));
    let refused = keep(&rig, "demo/app", &wrong, 1000).await;
    assert!(matches!(refused, Err(Missing::Later(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_of_two_repositories_comes_once_and_is_not_asked_about() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", MIB, 8205);
    rig.put_image("demo/other", "v1", &[]);
    keep(&rig, "demo/app", &digest, MIB).await.unwrap();
    let kept = keep(&rig, "demo/other", &digest, MIB).await.unwrap();
    assert!(kept.was_there);
    assert_eq!(rig.asked(), (0, 1));
    let reply = rig.get(&format!("demo/other/blobs/{digest}")).await;
    assert_eq!((reply.status.as_u16(), cache(&reply)), (200, "HIT"));
    // Nor in another process.
    let rig = rig.restarted().await;
    rig.put_image("demo/third", "v1", &[]);
    assert!(
        keep(&rig, "demo/third", &digest, MIB)
            .await
            .unwrap()
            .was_there
    );
    assert_eq!(rig.asked(), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_some_may_less_the_upstream_vouches_once() {
    let setup = Setup {
        has_access_rules: true,
        ..Setup::default()
    };
    let rig = Rig::with(setup).await;
    let digest = rig.up.put_generated_blob("demo/app", MIB, 8206);
    rig.up.put_generated_blob("demo/other", MIB, 8206);
    rig.put_image("demo/third", "v1", &[]);
    keep(&rig, "demo/app", &digest, MIB).await.unwrap();
    for _ in 0..2 {
        assert!(
            keep(&rig, "demo/other", &digest, MIB)
                .await
                .unwrap()
                .was_there
        );
        assert_eq!(rig.asked(), (1, 1));
    }
    let refused = keep(&rig, "demo/third", &digest, MIB).await;
    assert!(matches!(refused, Err(Missing::Gone(_))), "{refused:?}");
    let reply = rig.get(&format!("demo/third/blobs/{digest}")).await;
    assert_eq!(reply.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_upstream_vouches_for_itself() {
    let other = Upstream::start().await;
    let setup = Setup {
        others: vec![("other.test", other.url())],
        ..Setup::default()
    };
    let rig = Rig::with(setup).await;
    let digest = rig.up.put_generated_blob("demo/app", MIB, 8207);
    keep(&rig, "demo/app", &digest, MIB).await.unwrap();
    let repository = Repository::new("other.test".parse().unwrap(), "demo/app".parse().unwrap());
    let wanted = blob(&digest, MIB);
    let refused = asked(&rig, |flow| async move {
        flow.keep_blob(&repository, &wanted, cause()).await
    })
    .await;
    assert!(matches!(refused, Err(Missing::Gone(_))), "{refused:?}");
    assert_eq!(other.count(|it| it.method == "HEAD"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_were_told_and_dropped_are_seen_so() {
    let rig = Rig::with(patient()).await;
    let digest = rig.put_image("demo/app", "v1", &[]);
    let manifest = rig.manifest(&format!("demo/app/manifests/{digest}")).await;
    assert_eq!(manifest.status, 200);
    let (repository, wanted) = (repository("demo/app"), digest.parse().unwrap());
    let at = repository.clone();
    let kept = asked(&rig, |flow| async move {
        flow.keep_tag(&at, &tag("mine"), &wanted).await
    });
    kept.await.unwrap();
    let reply = rig.manifest("demo/app/manifests/mine").await;
    assert_eq!((reply.status.as_u16(), cache(&reply)), (200, "HIT"));
    let dropped = asked(&rig, |flow| async move {
        flow.drop_tag(&repository, &tag("mine")).await
    });
    dropped.await.unwrap();
    let reply = rig.manifest("demo/app/manifests/mine").await;
    assert_eq!(reply.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_read_to_their_last_page() {
    let rig = Rig::start().await;
    let digest = rig.put_image("demo/app", "t0000", &[]);
    for n in 1..2500 {
        rig.up.move_tag("demo/app", &format!("t{n:04}"), &digest);
    }
    let at = repository("demo/app");
    let listed = asked(&rig, |flow| async move {
        flow.listed(&at, FlowId::next()).await
    });
    let listed = listed.await.unwrap();
    assert_eq!((listed.len(), listed[2499].as_str()), (2500, "t2499"));
    assert_eq!(rig.asked(), (0, 3));
    let at = repository("demo/none");
    let none = asked(&rig, |flow| async move {
        flow.listed(&at, FlowId::next()).await
    });
    assert!(matches!(none.await, Err(Error::NoRepository(..))));
    for n in 0..1200 {
        rig.put_image(&format!("many/r{n:04}"), "v1", &[]);
    }
    let upstream = "up.test".parse().unwrap();
    let all = asked(&rig, |flow| async move {
        flow.repositories(&upstream, FlowId::next()).await
    });
    assert_eq!(all.await.unwrap().len(), 1201);
}

#[tokio::test(flavor = "multi_thread")]
async fn referrers_come_by_the_api_or_by_their_tag() {
    for has_api in [true, false] {
        let up = match has_api {
            true => Upstream::start().await,
            false => Upstream::builder().without_referrers().start().await,
        };
        let rig = Rig::before(up, Setup::default()).await;
        let image = ImageBuilder::new(82).build();
        image.push_to(&rig.up, "demo/app", "v1");
        let signature = image.referrer("a/signature", "signed");
        signature.push_to(&rig.up, "demo/app", "signature");
        let subject = image.digest().replace(':', "-");
        if !has_api {
            let list = serde_json::json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX,
                "manifests": [signature.root.descriptor()]});
            let list = list.to_string();
            rig.up
                .put_manifest("demo/app", &subject, media::OCI_INDEX, list);
        }
        let ask = async |tags: Option<Vec<&'static str>>| {
            let (at, digest) = (repository("demo/app"), image.digest().parse().unwrap());
            let tags = tags.map(|tags| tags.into_iter().map(tag).collect());
            let asked = asked(&rig, |flow| async move {
                let tags = tags.as_ref();
                flow.referrers(&at, &digest, tags, FlowId::next()).await
            });
            asked.await.unwrap()
        };
        let found = ask(None).await;
        let by = match has_api {
            true => ReferrersBy::Api,
            false => ReferrersBy::FallbackTag,
        };
        assert_eq!(found.by, by);
        let digests: Vec<_> = found
            .descriptors
            .iter()
            .map(|it| it.digest.as_str())
            .collect();
        assert_eq!(digests, [signature.digest()]);
        // Once is enough to know that there is no API; a tag that is not listed is not asked for.
        ask(None).await;
        assert_eq!(rig.asked(), (0, if has_api { 2 } else { 3 }));
        assert_eq!(
            ask(Some(vec!["v1"])).await.descriptors.len(),
            usize::from(has_api)
        );
        assert_eq!(rig.asked(), (0, 3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_fetched_by_clients_credentials_for_others() {
    let setup = Setup {
        credentials: Credentials::Passthrough,
        ..Setup::default()
    };
    let rig = Rig::with(setup).await;
    rig.put_image("demo/app", "v1", &[]);
    let refused = resolve(&rig, "demo/app", "v1", false).await;
    assert!(matches!(refused, Err(Error::Passthrough(_))), "{refused:?}");
    let at = repository("demo/app");
    let refused = asked(&rig, |flow| async move {
        flow.listed(&at, FlowId::next()).await
    });
    assert!(matches!(refused.await, Err(Error::Passthrough(_))));
    let upstream = "up.test".parse().unwrap();
    let refused = asked(&rig, |flow| async move {
        flow.repositories(&upstream, FlowId::next()).await
    });
    assert!(matches!(refused.await, Err(Error::Passthrough(_))));
    assert_eq!(rig.asked(), (0, 0));
}
