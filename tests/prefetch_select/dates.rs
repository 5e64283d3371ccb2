use fake_registry::Fault;
use fake_registry::Upstream;
use fake_registry::When;

use crate::rig::Rig;
use crate::rig::set;
use crate::rig::upstream;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Where an image says when it was built.
enum Says {
    Config(&'static str),
    Annotation(&'static str),
    Nothing,
}

/// Puts an image; gives its digest.
fn image(up: &Upstream, reference: &str, says: &Says) -> String {
    let created = match says {
        Says::Config(created) => format!(r#","created":"{created}""#),
        _ => String::new(),
    };
    let config = format!(r#"{{"architecture":"amd64","os":"linux","x":"{reference}"{created}}}"#);
    let size = config.len();
    let config = up.put_blob("app", config);
    let annotations = match says {
        Says::Annotation(created) => {
            format!(r#","annotations":{{"org.opencontainers.image.created":"{created}"}}"#)
        }
        _ => String::new(),
    };
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json",
        "digest":"{config}","size":{size}}},"layers":[]{annotations}}}"#
    );
    up.put_manifest("app", reference, MANIFEST, manifest)
}

/// Puts an index of images for these architectures.
fn index(up: &Upstream, tag: &str, images: &[(&str, Says)]) {
    let entry = |(architecture, says): &(&str, Says)| {
        let digest = image(up, &format!("{tag}-{architecture}"), says);
        up.delete_tag("app", &format!("{tag}-{architecture}"));
        format!(
            r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":1,
            "platform":{{"os":"linux","architecture":"{architecture}"}}}}"#
        )
    };
    let entries: Vec<String> = images.iter().map(entry).collect();
    let bytes = format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        entries.join(",")
    );
    up.put_manifest("app", tag, INDEX, bytes);
}

/// How many manifests and blobs were asked for, by any method.
fn asked(up: &Upstream) -> (usize, usize) {
    let count = |part: &str| up.count(|it| it.path.contains(part));
    (count("/manifests/"), count("/blobs/"))
}

async fn rig(up: &Upstream, keys: &str) -> Rig {
    let toml = upstream("a.test", up) + &set("one", &format!("from = \"a.test/app\"\n{keys}"));
    Rig::new(&toml, &[]).await
}

const SINCE: &str = "tags = { since = \"2026-03-01\", exclude = \"x*\" }";

#[tokio::test]
async fn dates_come_from_annotations_else_from_configs() {
    let up = Upstream::start().await;
    image(&up, "old", &Says::Config("2026-02-28T23:59:59Z"));
    image(&up, "new", &Says::Config("2026-03-01T00:00:00.5Z"));
    image(
        &up,
        "marked",
        &Says::Annotation("2026-04-01T00:00:00+02:00"),
    );
    image(&up, "epoch", &Says::Config("1970-01-01T00:00:00Z"));
    image(&up, "silent", &Says::Nothing);
    image(&up, "x-excluded", &Says::Config("2026-05-01T00:00:00Z"));
    let rig = rig(&up, SINCE).await;
    let told = rig.discover("one").await;
    // The tag was asked about just now: a run needs not ask again.
    assert!(told.wanted.iter().all(|it| it.digest.is_some()));
    assert_eq!(told.well(), ["a.test/app:marked", "a.test/app:new"]);
    // One manifest for each tag that passes all else; a config, where there is no annotation.
    assert_eq!(asked(&up), (5, 4));
    up.clear_log();
    let again = rig.discover("one").await.well();
    assert_eq!(again, ["a.test/app:marked", "a.test/app:new"]);
    assert_eq!(asked(&up), (5, 0));
    assert_eq!(up.count(|it| it.method == "HEAD"), 5);
}

/// Then nothing else would remember what was learned.
#[tokio::test]
async fn dates_are_remembered_without_a_store_too() {
    let up = Upstream::start().await;
    image(&up, "1", &Says::Config("2026-06-01T00:00:00Z"));
    image(&up, "2", &Says::Config("2025-06-01T00:00:00Z"));
    let keys = format!("to = \"far\"\n{SINCE}");
    let target = "[[target]]\nname = \"far\"\nurl = \"https://far.test\"\n";
    let toml = format!(
        "[store]\nenabled = false\n{target}{}",
        upstream("a.test", &up)
    ) + &set("one", &format!("from = \"a.test/app\"\n{keys}"));
    let rig = Rig::new(&toml, &[]).await;
    assert_eq!(rig.discover("one").await.well(), ["a.test/app:1"]);
    assert_eq!(asked(&up), (2, 2));
    up.clear_log();
    assert_eq!(rig.discover("one").await.well(), ["a.test/app:1"]);
    assert_eq!(asked(&up), (2, 0));
}

#[tokio::test]
async fn of_an_index_one_image_is_asked() {
    let up = Upstream::start().await;
    let (old, new) = ("2025-01-01T00:00:00Z", "2026-06-01T00:00:00Z");
    index(
        &up,
        "1",
        &[("amd64", Says::Config(old)), ("arm64", Says::Config(new))],
    );
    index(
        &up,
        "2",
        &[("amd64", Says::Config(new)), ("arm64", Says::Config(old))],
    );
    let first = rig(&up, SINCE).await;
    assert_eq!(first.discover("one").await.well(), ["a.test/app:2"]);
    // Two indexes, one manifest and one config of each.
    assert_eq!(asked(&up), (4, 2));
    let arm = rig(&up, &format!("{SINCE}\nplatforms = \"linux/arm64\"")).await;
    assert_eq!(arm.discover("one").await.well(), ["a.test/app:1"]);
}

/// With `latest`, dates are asked for until there are enough.
#[tokio::test]
async fn few_dates_are_asked_for() {
    let up = Upstream::start().await;
    for minor in 0..40 {
        let age = if minor == 38 { "2020" } else { "2026" };
        let created = format!("{age}-06-01T00:00:00Z").leak();
        image(&up, &format!("1.{minor}"), &Says::Config(created));
    }
    let keys = "tags = { since = \"2026-01-01\", latest = 3 }";
    let rig = rig(&up, keys).await;
    let three = ["a.test/app:1.36", "a.test/app:1.37", "a.test/app:1.39"];
    assert_eq!(rig.discover("one").await.well(), three);
    assert_eq!(asked(&up), (4, 4));
}

#[tokio::test]
async fn the_latest_by_date() {
    let up = Upstream::start().await;
    for (tag, created) in [
        ("a", "2026-01-03T00:00:00Z"),
        ("b", "2026-01-01T00:00:00Z"),
        ("c", "2026-01-02T00:00:00Z"),
    ] {
        image(&up, tag, &Says::Config(created));
    }
    let rig = rig(&up, "tags = { latest = 2, order = \"date\" }").await;
    assert_eq!(
        rig.discover("one").await.well(),
        ["a.test/app:a", "a.test/app:c"]
    );
}

#[tokio::test]
async fn a_date_that_can_not_be_had_fails_its_tag_alone() {
    let up = Upstream::start().await;
    image(&up, "1", &Says::Config("2026-06-01T00:00:00Z"));
    let broken = image(&up, "2", &Says::Config("2026-06-02T00:00:00Z"));
    up.fault(When::path("/manifests/2"), Fault::error(403, "DENIED"));
    up.fault(When::path(&broken), Fault::error(403, "DENIED"));
    let rig = rig(&up, SINCE).await;
    let told = rig.discover("one").await;
    assert_eq!(told.names(), ["a.test/app:1"]);
    let (what, why) = told.failure();
    assert_eq!(what, "a.test/app:2");
    assert!(why.starts_with("its date is not to be had: "), "{why}");
    // What was refused is not remembered.
    up.clear_faults();
    assert_eq!(
        rig.discover("one").await.well(),
        ["a.test/app:1", "a.test/app:2"]
    );
}
