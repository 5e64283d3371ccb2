//! Signatures and the like: manifests that refer to others.

use fake_registry::ImageBuilder;
use fake_registry::Target;
use serde_json::Value;

use crate::rig::Rig;
use crate::rig::pulled;
use crate::rig::there;

#[tokio::test]
async fn a_target_that_keeps_no_list_of_referrers_gets_one_under_a_tag() {
    let target = Target::builder().without_referrers().start().await;
    let image = ImageBuilder::new(1).build();
    let sbom = image.referrer("an/sbom", "contents");
    let signature = image.referrer("a/signature", "by me");
    let rig = Rig::new(&target, [&image, &sbom, &signature]);
    rig.start();
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    // At once: none of them is lost.
    rig.targets.pulled(pulled("app", None, sbom.digest()));
    rig.targets.pulled(pulled("app", None, signature.digest()));
    rig.done().await;
    let tag = image.digest().replace(':', "-");
    let (_, list) = target.manifest(&there("app"), &tag).unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    let entries = list["manifests"].as_array().unwrap();
    let mut listed: Vec<_> = entries
        .iter()
        .map(|it| {
            (
                it["digest"].as_str().unwrap(),
                it["artifactType"].as_str().unwrap(),
            )
        })
        .collect();
    listed.sort_unstable();
    let mut expected = [
        (sbom.digest(), "an/sbom"),
        (signature.digest(), "a/signature"),
    ];
    expected.sort_unstable();
    assert_eq!(listed, expected);
    rig.close().await;
}

#[tokio::test]
async fn a_target_that_keeps_one_is_left_to_it() {
    let target = Target::start().await;
    let image = ImageBuilder::new(1).build();
    let sbom = image.referrer("an/sbom", "contents");
    let rig = Rig::new(&target, [&image, &sbom]);
    rig.start();
    rig.targets.pulled(pulled("app", None, sbom.digest()));
    rig.done().await;
    let tag = image.digest().replace(':', "-");
    assert_eq!(target.manifest(&there("app"), &tag), None);
    assert_eq!(target.requests().gets, 0);
    rig.close().await;
}
