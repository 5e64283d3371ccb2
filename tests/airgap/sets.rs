use fake_registry::ImageBuilder;
use fake_registry::Release;
use fake_registry::Tidegate;
use fake_registry::need;

use crate::rig::APP;
use crate::rig::Gap;
use crate::rig::MIRRORED;

const TAGS: &str = "from = \"a.io/team/app\"\ntags = { include = [\"v*\"] }";
const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

#[tokio::test]
async fn a_set_crosses_the_gap_in_every_form() {
    let index = ImageBuilder::new(1)
        .base(9, 2)
        .platforms(&PLATFORMS)
        .build();
    let image = ImageBuilder::new(2).base(9, 2).docker().build();
    let signature = index.referrer("application/vnd.dev.sigstore.bundle.v0.3+json", "signed");
    let cosign = ImageBuilder::new(3).layers(1).build();
    for to in [
        "oci:../carry",
        "../carry.tar",
        "../carry.tar.gz",
        "../carry.tar.zst",
    ] {
        let gap = Gap::with(TAGS).await;
        index.push_to(&gap.up, APP, "v1");
        image.push_to(&gap.up, APP, "v2");
        image.push_to(&gap.up, APP, "latest");
        signature.push_to(&gap.up, APP, signature.digest());
        let tag = format!("{}.sig", image.digest().replace(':', "-"));
        cosign.push_to(&gap.up, APP, &tag);
        gap.sync().await;
        let exported = gap.export(to).await;
        assert_eq!(exported["images"], 2, "{to}: {exported}");
        let imported = gap.import(to).await;
        assert_eq!(imported["images"], 2, "{to}: {imported}");
        assert_eq!(imported["written"], exported["written"], "{to}");
        assert_eq!(imported["bytes"], exported["bytes"], "{to}");
        gap.offline().await;
        gap.assert_there(MIRRORED, "v1", &index);
        gap.assert_there(MIRRORED, "v2", &image);
        gap.assert_whole(MIRRORED, &signature);
        gap.assert_there(MIRRORED, &tag, &cosign);
        assert_eq!(
            gap.target.tag(MIRRORED, "latest"),
            None,
            "it was not selected"
        );
        assert_eq!(gap.target.uploaded_twice(), 0);
        gap.run("there", "store verify").await.well();
        // The same again finds all there.
        assert_eq!(gap.import(to).await["written"], 0);
        let before = gap.target.uploads().len();
        gap.offline().await;
        assert_eq!(gap.target.uploads().len(), before);
    }
}

#[tokio::test]
async fn what_is_imported_is_served_by_a_proxy_that_reaches_nobody() {
    let gap = Gap::with(TAGS).await;
    let image = ImageBuilder::new(4).build();
    image.push_to(&gap.up, APP, "v1");
    gap.sync().await;
    gap.export("../carry.tar.zst").await;
    let config = std::fs::read_to_string(gap.at("there/proxy.toml")).unwrap();
    let config = config.replace("to = [\"store\", \"mirror\"]", "to = [\"store\"]");
    let binary = env!("CARGO_BIN_EXE_tidegate");
    let proxy = Tidegate::builder(binary, &config)
        .folder(gap.at("there"))
        .start()
        .await;
    // Beside a proxy that serves from the same store.
    gap.import("../carry.tar.zst").await;
    let client = fake_registry::Client::new();
    let url = format!("{}/v2/a.io/{APP}/", proxy.url());
    let manifest = client.get(format!("{url}manifests/{}", image.digest()));
    let manifest = manifest.send().await.unwrap();
    assert!(manifest.bytes().await.unwrap() == image.root.bytes);
    for blob in &image.blobs {
        let reply = client.get(format!("{url}blobs/{}", blob.digest));
        let reply = reply.send().await.unwrap();
        assert!(
            reply.bytes().await.unwrap() == blob.bytes,
            "{}",
            blob.digest
        );
    }
    gap.nobody_was_asked();
}

#[tokio::test]
async fn a_release_crosses_the_gap() {
    let gap = Gap::with("from = \"openshift:4.20.8\"\nreferrers = false").await;
    let parts = "openshift-release-dev/ocp-v4.0-art-dev";
    let releases = "openshift-release-dev/ocp-release";
    let built = Release::new("4.20.8", &format!("quay.io/{parts}"), 12);
    built.image.push_to(&gap.up, releases, "4.20.8-x86_64");
    for (_, component) in &built.components {
        component.push_to(&gap.up, parts, component.digest());
    }
    gap.sync().await;
    let exported = gap.export("../release.tar").await;
    assert_eq!(exported["images"], 13);
    gap.import("../release.tar").await;
    gap.offline().await;
    gap.assert_there(
        &format!("quay.io/{releases}"),
        "4.20.8-x86_64",
        &built.image,
    );
    for (name, component) in &built.components {
        gap.assert_there(
            &format!("quay.io/{parts}"),
            &format!("4.20.8-x86_64-{name}"),
            component,
        );
    }
}

#[tokio::test]
async fn chosen_platforms_cross_alone() {
    let set = "from = \"a.io/team/app\"\ntags = [\"v1\"]\nplatforms = [\"linux/arm64\"]";
    let gap = Gap::with(set).await;
    let index = ImageBuilder::new(5).platforms(&PLATFORMS).build();
    index.push_to(&gap.up, APP, "v1");
    gap.sync().await;
    let said = gap
        .run("here", "store export --set base oci:../carry")
        .await;
    assert!(!said.stderr.contains("never pulled"), "{}", said.stderr);
    said.well();
    gap.import("oci:../carry").await;
    gap.target.set_sparse(true);
    gap.offline().await;
    let arm = index.manifest("linux/arm64").unwrap();
    assert!(gap.target.manifest(MIRRORED, &arm.digest).is_some());
    let amd = index.manifest("linux/amd64").unwrap();
    assert!(gap.target.manifest(MIRRORED, &amd.digest).is_none());
}

#[tokio::test]
async fn other_tools_read_what_was_exported() {
    if !need(&["skopeo", "zstd"]) {
        return;
    }
    let gap = Gap::with(TAGS).await;
    let image = ImageBuilder::new(6).layers(3).layer_size(300_000).build();
    image.push_to(&gap.up, APP, "v1");
    gap.sync().await;
    gap.export("oci:../carry").await;
    gap.export("../carry.tar.zst").await;
    let run = async |program: &str, args: &str| {
        let mut command = tokio::process::Command::new(program);
        command
            .args(args.split_whitespace())
            .current_dir(gap.at(""));
        let output = command.output().await.unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    let read = run("skopeo", "inspect --raw oci:carry:a.io/team/app:v1").await;
    assert!(read == image.root.bytes);
    run("zstd", "-q -d carry.tar.zst -o plain.tar").await;
    std::fs::create_dir(gap.at("unpacked")).unwrap();
    run("tar", "-xf plain.tar -C unpacked").await;
    let read = run("skopeo", "copy oci:unpacked:a.io/team/app:v1 oci:again:v1").await;
    drop(read);
    let blob = image.blobs[0].digest.replace(':', "/");
    let copied = std::fs::read(gap.at("again/blobs").join(blob)).unwrap();
    assert!(copied == image.blobs[0].bytes);
}
