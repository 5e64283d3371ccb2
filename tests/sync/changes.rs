//! What has changed at the source since the last run.

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::PATIENCE;
use fake_registry::Target;
use fake_registry::Upstream;
use fake_registry::When;
use http_body_util::BodyExt as _;
use tidegate::flow::Ask;
use tidegate::flow::Body;
use tidegate::flow::Caller;
use tidegate::flow::Want;
use tidegate::ledger::FlowId;
use tidegate::ledger::Origin;
use tidegate::prefetch::ItemOutcome;
use tidegate::prefetch::Outcome;
use tidegate::prefetch::Set;
use tokio::time::timeout;

use crate::rig::Rig;
use crate::rig::all_of;
use crate::rig::item;
use crate::rig::literal;
use crate::rig::put;
use crate::rig::repository;
use crate::rig::there;
use crate::rig::to_both;
use crate::rig::to_target;

fn image(seed: u64) -> Image {
    ImageBuilder::new(seed).layers(2).layer_size(4096).build()
}

#[tokio::test]
async fn only_what_has_moved_is_transferred() {
    let rig = Rig::mirroring().await;
    let (old, new) = (
        ImageBuilder::new(1).base(5, 2),
        ImageBuilder::new(2).base(5, 2),
    );
    let (old, new) = (old.layers(1).build(), new.layers(1).build());
    put(&rig.up, &old, "app", "v1");
    put(&rig.up, &image(9), "app", "v2");
    let set = Set {
        to: to_both(),
        ..literal("app", &["v1", "v2"])
    };
    rig.run(&set).await;
    put(&rig.up, &new, "app", "v1");
    let report = rig.run(&set).await;
    assert_eq!(
        (report.images.copied, report.images.unchanged),
        (1, 1),
        "{report:#?}"
    );
    let item = item(&report, "up.test/app:v1");
    assert_eq!(item.digest.as_deref(), Some(new.digest()));
    assert_eq!(item.before.as_deref(), Some(old.digest()));
    let fresh: Vec<_> = new
        .blobs
        .iter()
        .filter(|it| !old.blobs.contains(it))
        .collect();
    let mut expected: Vec<String> = fresh
        .iter()
        .map(|it| format!("GET app/blobs/{}", it.digest))
        .collect();
    expected.push(format!("GET app/manifests/{}", new.digest()));
    expected.extend(["v1", "v2"].map(|tag| format!("HEAD app/manifests/{tag}")));
    expected.sort();
    assert_eq!(rig.asked(), expected);
    // One HEAD for the tag that stays, none for the one that moves: a POST and a PUT for each blob,
    // and the manifest.
    assert_eq!(rig.at_target(), 1 + 2 * fresh.len() + 1);
    assert_eq!(
        rig.target().tag(&there("app"), "v1").as_deref(),
        Some(new.digest())
    );
}

#[tokio::test]
async fn a_client_joins_what_is_being_prefetched() {
    let rig = Rig::new().await;
    let image = image(1);
    put(&rig.up, &image, "app", "v1");
    let (gate, digest) = (Gate::new(), &image.blobs[1].digest);
    rig.up
        .fault(When::get(digest), Fault::stall_after(100, &gate));
    let run = rig.start(&literal("app", &["v1"]), &Default::default());
    while rig.up.gets_of(digest).is_empty() {
        tokio::task::yield_now().await;
    }
    let ask = Ask {
        repository: repository("app"),
        want: Want::Blob {
            digest: digest.parse().unwrap(),
            range: None,
        },
        head: false,
        flow: FlowId::next(),
        caller: Caller::default(),
    };
    let flow = rig.flow().clone();
    let served = rig.spawn(async move { flow.serve(ask).await });
    let served = timeout(PATIENCE, served)
        .await
        .expect("a header")
        .unwrap()
        .unwrap();
    assert_eq!(served.origin, Origin::Joined);
    gate.open();
    let Body::Tail(tail) = served.body else {
        panic!("it comes as it arrives");
    };
    let read = tail.collect().await.expect("all of it").to_bytes();
    assert!(read == image.blobs[1].bytes);
    let report = run.await.unwrap();
    assert_eq!((report.outcome, report.images.copied), (Outcome::Done, 1));
    assert_eq!(rig.up.gets_of(digest).len(), 1);
}

#[tokio::test]
async fn what_refers_to_an_image_comes_with_it_and_also_later() {
    for has_api in [true, false] {
        let up = match has_api {
            true => Upstream::start().await,
            false => Upstream::builder().without_referrers().start().await,
        };
        let rig = Rig::before(up, Some(Target::start().await)).await;
        let image = image(1);
        put(&rig.up, &image, "app", "v1");
        let set = Set {
            to: to_both(),
            referrers: true,
            ..all_of("app")
        };
        let report = rig.run(&set).await;
        assert_eq!(
            (report.outcome, report.images.referrers),
            (Outcome::Done, 0),
            "{report:#?}"
        );

        // A signature comes later, and one by cosign's tag.
        let signature = image.referrer("application/x.signature", "signed");
        put(&rig.up, &signature, "app", signature.digest());
        if !has_api {
            put_fallback(&rig.up, &image, &signature);
        }
        let cosign = ImageBuilder::new(77).layers(1).layer_size(500).build();
        let tag = format!("{}.sig", image.digest().replace(':', "-"));
        put(&rig.up, &cosign, "app", &tag);
        // No other tags are its business.
        put(
            &rig.up,
            &cosign,
            "app",
            &format!("sha256-{}.sig", "0".repeat(64)),
        );
        let set = Set {
            tags: crate::rig::including("v*"),
            ..set
        };
        let report = rig.run(&set).await;
        assert_eq!(
            (report.outcome, report.images.referrers),
            (Outcome::Done, 2),
            "{report:#?}"
        );
        assert_eq!((report.images.unchanged, report.images.copied), (1, 0));
        let name = format!("up.test/app@{}", signature.digest());
        assert_eq!(
            item(&report, &name).about.as_deref(),
            Some("up.test/app:v1")
        );
        let at = there("app");
        assert!(rig.target().holds(&at, signature.digest()));
        assert_eq!(
            rig.target().tag(&at, &tag).as_deref(),
            Some(cosign.digest())
        );

        let report = rig.run(&set).await;
        assert_eq!(
            (report.outcome, report.images.referrers),
            (Outcome::Done, 0),
            "{report:#?}"
        );
        assert_eq!(rig.up.count(|it| it.path.contains("/blobs/")), 0);
        // Two tags: the image's, and cosign's.
        assert_eq!((rig.at_target(), rig.target().requests().heads), (2, 2));
    }
}

/// As clients write it for registries without the referrers API.
fn put_fallback(up: &Upstream, image: &Image, referrer: &Image) {
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [referrer.root.descriptor()],
    });
    let tag = image.digest().replace(':', "-");
    let media_type = "application/vnd.oci.image.index.v1+json";
    up.put_manifest("app", &tag, media_type, index.to_string());
}

#[tokio::test]
async fn a_target_without_the_referrers_api_gets_the_fallback_tag() {
    let target = Target::builder().without_referrers().start().await;
    let rig = Rig::before(Upstream::start().await, Some(target)).await;
    let image = image(1);
    put(&rig.up, &image, "app", "v1");
    let signature = image.referrer("application/x.signature", "signed");
    put(&rig.up, &signature, "app", signature.digest());
    let set = Set {
        to: to_target(),
        referrers: true,
        ..literal("app", &["v1"])
    };
    let report = rig.run(&set).await;
    assert_eq!(
        (report.outcome, report.images.referrers),
        (Outcome::Done, 1),
        "{report:#?}"
    );
    let tag = image.digest().replace(':', "-");
    let (_, index) = rig
        .target()
        .manifest(&there("app"), &tag)
        .expect("the fallback tag");
    assert!(String::from_utf8_lossy(&index).contains(signature.digest()));
}

#[tokio::test]
async fn a_literal_list_guesses_cosigns_tags_and_lists_nothing() {
    let rig = Rig::new().await;
    let image = image(1);
    put(&rig.up, &image, "app", "v1");
    let cosign = ImageBuilder::new(77).layers(1).layer_size(500).build();
    let tag = format!("{}.sig", image.digest().replace(':', "-"));
    put(&rig.up, &cosign, "app", &tag);
    let set = Set {
        referrers: true,
        ..literal("app", &["v1"])
    };
    let report = rig.run(&set).await;
    assert_eq!(
        (report.outcome, report.images.referrers),
        (Outcome::Done, 1),
        "{report:#?}"
    );
    assert_eq!(
        item(&report, &format!("up.test/app:{tag}")).outcome,
        ItemOutcome::Copied
    );
    assert_eq!(rig.up.count(|it| it.path.ends_with("/tags/list")), 0);
}
