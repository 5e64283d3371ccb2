//! Archives and layouts by somebody who means no good.

use std::io::Write as _;
use std::os::unix::fs::symlink;

use fake_registry::ImageBuilder;
use serde_json::json;
use tar::EntryType;
use tar::Header;

use crate::rig::Place;

const SECRET: &str = "the secret of the machine";

/// A tar file of these entries: name, what it links to, content.
fn archive(entries: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, link, bytes) in entries {
        let mut header = Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        // As it is: the crate's own way refuses what leads out.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        if let Some(link) = link {
            header.set_entry_type(EntryType::Symlink);
            header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn list(config: &str, layers: &[&str]) -> Vec<u8> {
    json!([{"Config": config, "RepoTags": ["a:1"], "Layers": layers}])
        .to_string()
        .into()
}

const CONFIG: &[u8] = br#"{"rootfs":{"type":"layers","diff_ids":[]}}"#;

/// What a copy of an archive with these entries says, when it fails, and nothing has come of it.
async fn refused(entries: &[(&str, Option<&str>, &[u8])]) -> String {
    refused_bytes(&archive(entries)).await
}

async fn refused_bytes(bytes: &[u8]) -> String {
    let place = Place::new();
    std::fs::write(place.at("secret"), SECRET).unwrap();
    std::fs::write(place.at("in.tar"), bytes).unwrap();
    let said = place.copy("docker-archive:in.tar oci:out").await.failed(3);
    assert!(!place.at("out/index.json").exists());
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[tokio::test]
async fn names_that_lead_out_are_refused() {
    for name in ["/etc/passwd", "../secret", "a/../../secret"] {
        let said = refused(&[(name, None, b"x")]).await;
        assert!(said.contains("an entry that leads out of it"), "{said}");
    }
    for link in ["/etc/passwd", "../../secret"] {
        let said = refused(&[("a/layer.tar", Some(link), b"")]).await;
        assert!(said.contains("an entry that leads out of it"), "{said}");
    }
    for name in ["../secret", "/etc/passwd", "a/../../secret", ""] {
        let said = refused(&[("manifest.json", None, &list(name, &[]))]).await;
        assert!(said.contains("is not in it"), "{said}");
    }
}

#[tokio::test]
async fn links_inside_are_followed_but_not_for_ever() {
    let place = Place::new();
    let layer = b"no tar, but what does it matter";
    let digest = tidegate::oci::Digest::of(layer);
    let config = json!({"rootfs": {"type": "layers", "diff_ids": [digest.as_str()]}}).to_string();
    let whole = archive(&[
        ("c.json", None, config.as_bytes()),
        ("one/layer.tar", None, layer),
        ("two/layer.tar", Some("../one/layer.tar"), b""),
        ("manifest.json", None, &list("c.json", &["two/layer.tar"])),
    ]);
    std::fs::write(place.at("in.tar"), whole).unwrap();
    place.copied("docker-archive:in.tar oci:out").await;

    let circle = list("c.json", &["a"]);
    let said = refused(&[
        ("c.json", None, config.as_bytes()),
        ("a", Some("b"), b""),
        ("b", Some("a"), b""),
        ("manifest.json", None, &circle),
    ])
    .await;
    assert!(said.contains("a is not in it"), "{said}");
}

#[tokio::test]
async fn what_is_broken_is_said_to_be() {
    for (bytes, says) in [
        (&b"hello"[..], "breaks off"),
        (&[7; 2048], "no tar file"),
        (&[], "no manifest.json"),
        (
            &archive(&[("manifest.json", None, b"[{")]),
            "its manifest.json",
        ),
        (&archive(&[("x", None, b"y")]), "no manifest.json"),
        (
            &archive(&[("manifest.json", None, &list("c", &["l"]))]),
            "c is not in it",
        ),
        (
            &archive(&[("manifest.json", None, b"[]")]),
            "no image in it",
        ),
        (
            &archive(&[("oci-layout", None, br#"{"imageLayoutVersion":"9"}"#)]),
            "not known",
        ),
    ] {
        let place = Place::new();
        std::fs::write(place.at("in.tar"), bytes).unwrap();
        let said = place.copy("docker-archive:in.tar oci:out").await;
        assert!(
            matches!(said.code, Some(2 | 3)),
            "{:?} {}",
            said.code,
            said.stderr
        );
        assert!(said.stderr.contains(says), "{says}: {}", said.stderr);
    }
    let whole = archive(&[
        ("c", None, CONFIG),
        ("manifest.json", None, &list("c", &[])),
    ]);
    for length in [100, 512, 513, 1024, 1500, 1536, 1540] {
        refused_bytes(&whole[..length]).await;
    }
    let wrong = json!({"rootfs": {"diff_ids": [tidegate::oci::Digest::of(b"a").as_str()]}});
    let said = refused(&[
        ("c", None, wrong.to_string().as_bytes()),
        ("l", None, b"b"),
        ("manifest.json", None, &list("c", &["l"])),
    ])
    .await;
    assert!(said.contains("other bytes than its digest says"), "{said}");
    let said = refused(&[
        ("c", None, CONFIG),
        ("l", None, b"b"),
        ("manifest.json", None, &list("c", &["l"])),
    ])
    .await;
    assert!(said.contains("1 layers where the config has 0"), "{said}");
}

/// Sizes that would take all memory, or go round the end of a number.
#[tokio::test]
async fn sizes_are_not_believed() {
    let mut header = Header::new_gnu();
    header.set_path("manifest.json").unwrap();
    for size in [1 << 40, u64::MAX >> 2, 9 << 20] {
        header.set_size(size);
        header.set_cksum();
        let said = refused_bytes(&[&header.as_bytes()[..], &[0; 1024]].concat()).await;
        assert!(said.contains("breaks off"), "{said}");
    }
    let long = vec![b'a'; 100 << 10];
    for kind in [
        EntryType::GNULongName,
        EntryType::XHeader,
        EntryType::GNULongLink,
    ] {
        let mut header = Header::new_gnu();
        header.set_path("x").unwrap();
        header.set_entry_type(kind);
        header.set_size(long.len() as u64);
        header.set_cksum();
        let said = refused_bytes(&[header.as_bytes(), &long[..]].concat()).await;
        assert!(said.contains("a header of 102400 bytes"), "{said}");
    }
    let said = refused(&[("manifest.json", None, &vec![b' '; 9 << 20])]).await;
    assert!(said.contains("are the most"), "{said}");
}

#[tokio::test]
async fn a_bomb_is_not_unpacked() {
    let place = Place::new();
    let file = std::fs::File::create(place.at("in.tar.gz")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::best());
    let zeros = vec![1; 1 << 20];
    for _ in 0..160 {
        gzip.write_all(&zeros).unwrap();
    }
    gzip.finish().unwrap();
    let said = place
        .copy("docker-archive:in.tar.gz oci:out")
        .await
        .failed(3);
    assert!(said.contains("a hundred times as long"), "{said}");
}

#[tokio::test]
async fn links_in_a_layout_lead_nowhere() {
    let image = ImageBuilder::new(21).layers(1).build();
    let layer = format!("in/blobs/{}", image.blobs[1].digest.replace(':', "/"));
    for (name, to) in [
        (layer.as_str(), "/etc/passwd"),
        (layer.as_str(), "../../secret"),
        ("in/index.json", "../secret"),
        ("in/oci-layout", "../mark"),
    ] {
        let place = Place::new();
        image.write_oci_layout(place.at("in"), "v1").unwrap();
        std::fs::write(place.at("in/secret"), SECRET).unwrap();
        std::fs::write(place.at("mark"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        std::fs::remove_file(place.at(name)).unwrap();
        symlink(to, place.at(name)).unwrap();
        place.copy("oci:in oci:out").await.failed(3);
        assert!(!place.at("out/index.json").exists(), "{name}");
        let all = place.files("");
        let out = all.iter().filter(|(name, _)| name.starts_with("out/"));
        assert!(!out.into_iter().any(|(_, bytes)| bytes == SECRET.as_bytes()));
    }
    // What would wait for ever is refused as well.
    let place = Place::new();
    image.write_oci_layout(place.at("in"), "v1").unwrap();
    std::fs::remove_file(place.at(&layer)).unwrap();
    place.run("mkfifo", &layer).await.well();
    place.copy("oci:in oci:out").await.failed(3);
    place.run("mkfifo", "pipe.tar").await.well();
    place
        .copy("docker-archive:pipe.tar oci:out")
        .await
        .failed(3);
}
