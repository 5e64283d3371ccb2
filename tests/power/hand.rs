//! Files that somebody deletes, alters or cuts short by hand: the client gets right bytes, and the
//! store is right again.

use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use fake_registry::Fault;
use fake_registry::When;
use fake_registry::digest_of;

use crate::rig::MIB;
use crate::rig::Rig;

const SIZE: u64 = 3 * MIB;

/// What somebody does to a blob's file.
type Damage = fn(&Path);

fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

const DAMAGES: [(&str, Damage); 7] = [
    ("first bit flipped", |path| flip(path, 0)),
    ("last bit flipped", |path| flip(path, SIZE - 1)),
    ("cut short", |path| {
        let file = File::options().write(true).open(path).unwrap();
        file.set_len(SIZE - 1).unwrap();
    }),
    ("emptied", |path| fs::write(path, "").unwrap()),
    ("replaced", |path| {
        let other = path.with_extension("other");
        fs::write(&other, vec![1; SIZE as usize]).unwrap();
        fs::rename(&other, path).unwrap();
    }),
    ("deleted", |path| fs::remove_file(path).unwrap()),
    ("deleted with its folder", |path| {
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }),
];

/// Whether a file is what its name says.
fn is_right(rig: &Rig, digest: &str) -> bool {
    fs::read(rig.blob(digest)).is_ok_and(|bytes| digest_of(&bytes) == digest)
}

async fn heals(rig: &Rig, digest: &str, what: &str) {
    assert_eq!(rig.pull(digest).await, "MISS", "{what}");
    rig.stored(digest).await;
    assert_eq!(rig.pull(digest).await, "HIT", "{what}");
    assert!(is_right(rig, digest), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_blob_that_is_damaged_is_replaced() {
    let rig = Rig::start().await;
    for (seed, (what, damage)) in (0..).zip(DAMAGES) {
        let digest = rig.store_blob(SIZE, seed).await;
        assert_eq!(rig.pull(&digest).await, "HIT");
        damage(&rig.blob(&digest));
        heals(&rig, &digest, what).await;
    }
    rig.logged("a stored blob was damaged").await;
    assert_eq!(rig.leftovers(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_damaged_while_nobody_serves_is_replaced() {
    let mut rig = Rig::start().await;
    let mut digests = Vec::new();
    for (seed, _) in (0..).zip(DAMAGES) {
        digests.push(rig.store_blob(SIZE, seed).await);
    }
    rig.stop().await;
    for (digest, (_, damage)) in digests.iter().zip(DAMAGES) {
        damage(&rig.blob(digest));
    }
    rig.begin().await;
    for (digest, (what, _)) in digests.iter().zip(DAMAGES) {
        heals(&rig, digest, what).await;
    }
    rig.restart().await;
    rig.up.clear_log();
    for digest in &digests {
        assert_eq!(rig.pull(digest).await, "HIT");
    }
    assert_eq!(rig.up.log().len(), 0, "what is right is not asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_not_served_while_the_upstream_is_out() {
    let rig = Rig::start().await;
    let digest = rig.store_blob(SIZE, 1).await;
    flip(&rig.blob(&digest), SIZE / 2);
    rig.up.fault(When::any(), Fault::status(503));
    let reply = rig.get(&format!("blobs/{digest}")).await;
    assert_eq!(reply.status.as_u16(), 502);
    rig.up.clear_faults();
    heals(&rig, &digest, "once the upstream is back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_was_touched_and_is_right_is_kept() {
    let mut rig = Rig::start().await;
    let digest = rig.store_blob(SIZE, 1).await;
    let touch = |rig: &Rig| {
        let file = File::open(rig.blob(&digest)).unwrap();
        file.set_modified(std::time::SystemTime::now()).unwrap();
    };
    touch(&rig);
    rig.up.clear_log();
    assert_eq!(rig.pull(&digest).await, "HIT");
    touch(&rig);
    rig.restart().await;
    assert_eq!(rig.pull(&digest).await, "HIT");
    assert_eq!(rig.up.log().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_altered_while_it_is_read_is_broken_off() {
    let rig = Rig::start().await;
    let size = 64 * MIB;
    let digest = rig.store_blob(size, 1).await;
    for client in [fake_registry::Client::new(), fake_registry::Client::h2c()] {
        let url = rig.url(&format!("blobs/{digest}"));
        let mut reply = client.get(url).send().await.unwrap();
        reply.read_exactly(MIB as usize).await.unwrap();
        flip(&rig.blob(&digest), size - 10);
        let (read, error) = reply.bytes_until_error().await;
        assert!(error.is_some() && (read.len() as u64) < size - MIB);
        assert_eq!(rig.pull(&digest).await, "MISS");
        rig.stored(&digest).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_damaged_is_replaced() {
    let mut rig = Rig::start().await;
    let image = rig.put_image("v1", 1);
    let digest = image.digest();
    rig.pull_image("v1", &image).await;
    let damages: [Damage; 4] = [
        |path| flip(path, 20),
        |path| fs::write(path, "{").unwrap(),
        |path| fs::write(path, "").unwrap(),
        |path| fs::remove_file(path).unwrap(),
    ];
    for damage in damages {
        damage(&rig.blob(digest));
        // From memory, or from the upstream.
        rig.pull_image("v1", &image).await;
        rig.restart().await;
        rig.pull_manifest(digest, digest).await;
        rig.pull_image("v1", &image).await;
        assert!(is_right(&rig, digest));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_are_damaged_are_replaced() {
    let mut rig = Rig::start().await;
    let image = rig.put_image("v1", 1);
    rig.pull_image("v1", &image).await;
    let (digest, layer) = (image.digest().to_owned(), image.blobs[0].digest.clone());
    let hex = |digest: &str| digest.replace(':', "/");
    let links = [
        ("_manifests/tags/v1/current/link".to_owned(), &digest),
        (
            format!("_manifests/revisions/{}/link", hex(&digest)),
            &digest,
        ),
        (format!("_layers/{}/link", hex(&layer)), &layer),
    ];
    for (link, held) in &links {
        for garbage in [
            "",
            "garbage",
            "sha256:0",
            "\u{0}\u{ff}",
            &layer.replace('a', "b"),
        ] {
            fs::write(rig.of_app(link), garbage).unwrap();
            rig.restart().await;
            rig.pull_image("v1", &image).await;
            let read = fs::read_to_string(rig.of_app(link)).unwrap();
            assert_eq!(&read, *held, "{link} with '{garbage}'");
        }
        fs::remove_file(rig.of_app(link)).unwrap();
        rig.restart().await;
        rig.pull_image("v1", &image).await;
        assert!(rig.of_app(link).exists(), "{link}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_media_type_that_is_damaged_is_taken_from_the_manifest() {
    let mut rig = Rig::start().await;
    let image = rig.put_image("v1", 1);
    rig.pull_image("v1", &image).await;
    let revision = format!("_manifests/revisions/{}", image.digest().replace(':', "/"));
    for garbage in [&b"garbage"[..], b"\xff\xfe", b"a/b\r\nx: y", b""] {
        fs::write(rig.of_app(&revision).join("media-type"), garbage).unwrap();
        rig.restart().await;
        let reply = rig.get_manifest("v1").await;
        assert_eq!(reply.header("content-type"), Some(&*image.root.media_type));
        assert_eq!(reply.digest().await.unwrap(), image.digest());
    }
}
