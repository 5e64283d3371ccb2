use std::collections::BTreeSet;

use fake_registry::Image;
use fake_registry::ImageBuilder;
use serde_json::Value;

use crate::rig::APP;
use crate::rig::Gap;
use crate::rig::MIRRORED;

const TAGS: &str = "from = \"a.io/team/app\"\ntags = { include = [\"v*\"] }";

/// The digests of what a tar file of a layout has.
fn contents(gap: &Gap, file: &str) -> BTreeSet<String> {
    let file = std::fs::File::open(gap.at(file)).unwrap();
    let mut archive = tar::Archive::new(file);
    let names = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        entry.path().unwrap().to_str().unwrap().to_owned()
    });
    let blobs = names.filter_map(|name| Some(name.strip_prefix("blobs/")?.replace('/', ":")));
    blobs.collect()
}

fn digests(image: &Image) -> BTreeSet<String> {
    let parts = image
        .blobs
        .iter()
        .chain(&image.manifests)
        .chain([&image.root]);
    parts.map(|part| part.digest.clone()).collect()
}

#[tokio::test]
async fn an_increment_has_what_is_new() {
    let gap = Gap::with(TAGS).await;
    let [one, two] = [1, 2].map(|seed| ImageBuilder::new(seed).base(9, 2).build());
    one.push_to(&gap.up, APP, "v1");
    gap.sync().await;
    let first = gap.export("../first.tar").await;
    let list = first["list"].as_str().unwrap();
    assert_eq!(list, "../first.tar.json");
    // A new image on the same base; a signature of what is there; a tag that moves.
    two.push_to(&gap.up, APP, "v2");
    let signature = one.referrer("application/vnd.example.signature", "signed");
    signature.push_to(&gap.up, APP, signature.digest());
    gap.sync().await;
    let second = gap.export(&format!("../second.tar --since {list}")).await;
    assert_eq!(second["images"], 2, "{second}");
    let new: BTreeSet<String> = contents(&gap, "second.tar");
    let known: BTreeSet<String> = one.blobs.iter().map(|blob| blob.digest.clone()).collect();
    let mut expected: BTreeSet<String> = digests(&two).difference(&known).cloned().collect();
    expected.extend(digests(&signature));
    // A manifest is small, and comes with its image.
    expected.insert(one.digest().to_owned());
    assert_eq!(new, expected);
    assert_eq!(second["left_out"], known.len(), "{second}");

    gap.import("../first.tar").await;
    let imported = gap.import("../second.tar").await;
    assert_eq!(imported["images"], 2, "{imported}");
    gap.offline().await;
    gap.assert_there(MIRRORED, "v1", &one);
    gap.assert_there(MIRRORED, "v2", &two);
    gap.assert_whole(MIRRORED, &signature);

    // A tag that moves to what is there; the list is the archive's own, or the last one's.
    two.push_to(&gap.up, APP, "v1");
    gap.sync().await;
    let third = gap.export("../third.tar --since ../second.tar").await;
    assert_eq!(
        (&third["images"], &third["unchanged"]),
        (&1.into(), &1.into())
    );
    assert_eq!(
        contents(&gap, "third.tar"),
        BTreeSet::from([two.digest().to_owned()])
    );
    gap.import("../third.tar").await;
    gap.offline().await;
    gap.assert_there(MIRRORED, "v1", &two);
    // There is nothing new.
    let fourth = gap
        .export("../fourth.tar.zst --since ../third.tar.json")
        .await;
    assert_eq!(
        (&fourth["images"], &fourth["unchanged"]),
        (&0.into(), &2.into())
    );
    assert_eq!(gap.import("../fourth.tar.zst").await["images"], 0);
}

#[tokio::test]
async fn an_increment_says_what_is_missing() {
    let gap = Gap::with(TAGS).await;
    let [one, two] = [1, 2].map(|seed| ImageBuilder::new(seed).base(9, 2).build());
    let other = ImageBuilder::new(3).build();
    one.push_to(&gap.up, APP, "v1");
    gap.sync().await;
    gap.export("oci:../first").await;
    two.push_to(&gap.up, APP, "v2");
    other.push_to(&gap.up, APP, "v3");
    gap.sync().await;
    gap.export("../second.tar.gz --since ../first").await;
    // The first one got lost: what is whole is imported all the same.
    let said = gap
        .run("there", "store import ../second.tar.gz --json")
        .await;
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let imported: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(imported["images"], 1);
    let [failed] = &imported["failed"].as_array().unwrap()[..] else {
        panic!("{imported}");
    };
    let failed = failed.as_str().unwrap();
    assert!(failed.starts_with("a.io/team/app:v2@"), "{failed}");
    let shared = one.layers("linux/amd64");
    let base = shared.iter().find(|layer| failed.contains(*layer));
    assert!(
        base.is_some() && failed.contains("without --since"),
        "{failed}"
    );
    // Nobody is served what is not whole.
    let listed = gap.run("there", "store ls").await.well();
    assert!(listed.contains("v3") && !listed.contains("v2"), "{listed}");
    // All of it lacks: nothing was done.
    let third = ImageBuilder::new(4).base(9, 2).build();
    third.push_to(&gap.up, APP, "v4");
    gap.sync().await;
    gap.export("../third.tar --since ../second.tar.gz").await;
    let said = gap.run("there", "store import ../third.tar").await;
    assert!(said.failed(3).contains("a.io/team/app:v4@"));
}

#[tokio::test]
async fn a_folder_takes_what_is_new() {
    let gap = Gap::with(TAGS).await;
    let [one, two] = [1, 2].map(|seed| ImageBuilder::new(seed).base(9, 2).build());
    one.push_to(&gap.up, APP, "v1");
    gap.sync().await;
    gap.export("oci:../carry").await;
    two.push_to(&gap.up, APP, "v2");
    gap.sync().await;
    let exported = gap.export("oci:../carry").await;
    assert_eq!(exported["images"], 2);
    let own = digests(&two).difference(&digests(&one)).count();
    assert_eq!(exported["written"], own, "{exported}");
    assert_eq!(gap.import("oci:../carry").await["images"], 2);
}
