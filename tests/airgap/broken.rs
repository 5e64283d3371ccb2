use fake_registry::ImageBuilder;

use crate::rig::APP;
use crate::rig::Gap;
use crate::rig::MIRRORED;

const TAGS: &str = "from = \"a.io/team/app\"\ntags = [\"v1\", \"v2\"]";

#[tokio::test]
async fn what_is_not_stored_is_said_and_the_rest_is_exported() {
    let gap = Gap::with(TAGS).await;
    let said = gap.run("here", "store export --set base ../x.tar").await;
    // There is no store yet.
    said.failed(3);
    let image = ImageBuilder::new(1).build();
    image.push_to(&gap.up, APP, "v1");
    // v2 is not there, which is said.
    gap.run("here", "sync base").await.failed(1);
    let said = gap.run("here", "store export --set base ../x.tar").await;
    let said = said.failed(1);
    assert!(
        said.contains("a.io/team/app:v2: it is not in the store"),
        "{said}"
    );
    assert!(said.contains("1 images"), "{said}");
    gap.import("../x.tar").await;
    gap.run("there", "sync --offline base").await.failed(1);
    gap.assert_there(MIRRORED, "v1", &image);
    gap.nobody_was_asked();
}

#[tokio::test]
async fn what_is_damaged_leaves_no_tag() {
    let gap = Gap::with(TAGS).await;
    for (seed, tag) in [(1, "v1"), (2, "v2")] {
        let image = ImageBuilder::new(seed).layers(2).build();
        image.push_to(&gap.up, APP, tag);
    }
    gap.sync().await;
    gap.export("../whole.tar").await;
    let whole = std::fs::read(gap.at("whole.tar")).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for (name, bytes) in [
        ("cut.tar", &whole[..whole.len() / 2]),
        ("flipped.tar", &flipped),
    ] {
        std::fs::write(gap.at(name), bytes).unwrap();
        gap.run("there", &format!("store import ../{name}"))
            .await
            .failed(3);
        let listed = gap.run("there", "store ls").await.well();
        assert!(
            !listed.contains("v1") && !listed.contains("v2"),
            "{name}: {listed}"
        );
    }
    // What is good of it is kept, and need not come again.
    assert_eq!(gap.import("../whole.tar").await["images"], 2);
    gap.run("there", "store verify").await.well();
}

#[tokio::test]
async fn damage_in_the_store_does_not_leave_it() {
    let gap = Gap::with(TAGS).await;
    let image = ImageBuilder::new(1).build();
    image.push_to(&gap.up, APP, "v1");
    image.push_to(&gap.up, APP, "v2");
    gap.sync().await;
    let hex = &image.blobs[1].digest[7..];
    let stored = gap.at("here/store/docker/registry/v2/blobs/sha256");
    let stored = stored.join(&hex[..2]).join(hex).join("data");
    let mut bytes = std::fs::read(&stored).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&stored, bytes).unwrap();
    for to in ["../x.tar.zst", "oci:../x"] {
        let said = gap
            .run("here", &format!("store export --set base {to}"))
            .await;
        let said = said.failed(3);
        assert!(
            said.contains(hex) && said.contains("store verify"),
            "{said}"
        );
    }
    assert!(!gap.at("x.tar.zst").exists());
    assert!(!gap.at("x/index.json").exists());
}

#[tokio::test]
async fn what_is_asked_wrongly_is_said() {
    let gap = Gap::with(TAGS).await;
    ImageBuilder::new(1).build().push_to(&gap.up, APP, "v1");
    ImageBuilder::new(2).build().push_to(&gap.up, APP, "v2");
    gap.sync().await;
    gap.export("oci:../carry").await;
    let mut other = std::fs::read_to_string(gap.at("carry/tidegate-export.json")).unwrap();
    other = other.replacen("\"version\":1", "\"version\":9", 1);
    std::fs::write(gap.at("newer.json"), other).unwrap();
    for (args, code, said) in [
        ("store export --set other ../x.tar", 2, "there are base"),
        ("store export --set base ../x.zip", 2, ".tar.zst"),
        (
            "store export --set base a.io/x ../x.tar",
            2,
            "only where it is to go",
        ),
        (
            "store export --set base --since ../no.json ../x.tar",
            3,
            "No such file",
        ),
        (
            "store export --set base --since proxy.toml ../x.tar",
            3,
            "neither an export",
        ),
        (
            "store export --set base --since ../newer.json ../x.tar",
            3,
            "version 9",
        ),
        (
            "store export --since ../newer.json a.io/team/app ../x.tar",
            2,
            "--set",
        ),
        ("store import ../carry", 2, "--as"),
        ("store import oci:../none", 3, "--as"),
        ("store import --no-referrers oci:../carry", 2, "--as"),
        ("sync --offline", 2, "goes to no target"),
    ] {
        let words = gap.run("here", args).await.failed(code);
        assert!(words.contains(said), "{args}: {words}");
    }
    assert!(!gap.at("x.tar").exists());
}
