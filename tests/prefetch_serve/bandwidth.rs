//! `bandwidth` of a set.

use fake_registry::Client;
use fake_registry::ImageBuilder;
use fake_registry::Recorded;
use fake_registry::Upstream;

use crate::rig::REPOSITORY;
use crate::rig::Rig;
use crate::rig::set;

/// The length of the blobs of `t0` and `t1`, a registry that has them, and the largest one's digest.
async fn two_images() -> (u64, Upstream, String) {
    let upstream = Upstream::start().await;
    let (mut length, mut largest) = (0, (0, String::new()));
    for seed in 0..2 {
        let image = ImageBuilder::new(seed)
            .layers(1)
            .layer_size(400_000)
            .build();
        image.push_to(&upstream, REPOSITORY, &format!("t{seed}"));
        for blob in &image.blobs {
            let size = blob.bytes.len() as u64;
            length += size;
            largest = largest.max((size, blob.digest.clone()));
        }
    }
    (length, upstream, largest.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_images_of_a_run_share_it() {
    let (length, upstream, _) = two_images().await;
    let rate = length / 3;
    let sets = set("base", &["t0", "t1"], &format!("bandwidth = \"{rate}B/s\""));
    let rig = Rig::over(upstream, &sets).await;
    let (_, begun) = rig.trigger("base").await;
    let report = rig.report("base", &begun).await;
    assert_eq!(report["images"]["copied"], 2, "{report:#}");
    // Three seconds. A loaded machine takes longer, but nothing makes it shorter.
    assert!(report["seconds"].as_f64() > Some(2.5), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_joins_does_not_wait_for_it() {
    let (_, upstream, layer) = two_images().await;
    let sets = set("base", &["t0", "t1"], "bandwidth = \"100B/s\"");
    let rig = Rig::over(upstream, &sets).await;
    let (_, begun) = rig.trigger("base").await;
    // An hour, for both.
    let asked = |log: &[Recorded]| log.iter().any(|it| it.is_get_of(&layer));
    rig.upstream.wait_for(asked).await;
    let url = format!(
        "{}/v2/up.test/{REPOSITORY}/blobs/{layer}",
        rig.tidegate.url()
    );
    let reply = Client::new().get(url).send().await.unwrap();
    assert_eq!(reply.header("x-cache"), Some("JOIN"));
    assert!(reply.digest().await.unwrap() == layer);
    let state = rig.state("base").await;
    assert_eq!(state["running"]["begun"], begun.as_str(), "{state:#}");
    let gets = rig.upstream.log();
    assert_eq!(gets.iter().filter(|it| it.is_get_of(&layer)).count(), 1);
}
