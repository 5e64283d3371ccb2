//! Readers that are given anything, or something that was right once.

use proptest::prelude::*;
use tempfile::TempDir;
use tidegate::layout::ArchiveWriter;
use tidegate::layout::Location;
use tidegate::layout::Source;
use tidegate::oci::Digest;
use tidegate::oci::Manifest;

/// Reads all that an archive has. Whatever comes is right, or an error.
fn read(bytes: &[u8]) -> Result<usize, tidegate::layout::Error> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.tar");
    std::fs::write(&file, bytes).unwrap();
    let source = Source::open(&Location::Archive { file, name: None })?;
    let mut blobs = 0;
    for image in source.images() {
        let digest = &image.descriptor.digest;
        let Some(manifest) = source.manifest(digest)? else {
            continue;
        };
        assert_eq!(Digest::of(&manifest.bytes), *digest);
        for digest in Manifest::parse(&manifest.bytes).blobs {
            let Some(blob) = source.blob(&digest)? else {
                continue;
            };
            let size = blob.size();
            let mut all = Vec::new();
            let whole = blob.chunks().try_for_each(|chunk| {
                all.extend_from_slice(&chunk?);
                std::io::Result::Ok(())
            });
            if whole.is_ok() {
                assert_eq!(Digest::of(&all), digest);
                assert_eq!(all.len() as u64, size);
                blobs += 1;
            }
        }
    }
    Ok(blobs)
}

/// An archive of one image with these layers.
fn written(layers: &[Vec<u8>]) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.tar");
    let mut archive = ArchiveWriter::create(&file).unwrap();
    let ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    for (layer, id) in layers.iter().zip(&ids) {
        if !archive.has(id) {
            archive.layer(id, &layer[..], layer.len() as u64).unwrap();
        }
    }
    let ids: Vec<&str> = ids.iter().map(Digest::as_str).collect();
    let config = serde_json::json!({"rootfs": {"type": "layers", "diff_ids": ids}});
    let config = config.to_string();
    archive
        .image(config.as_bytes(), &["a:1".to_owned()])
        .unwrap();
    archive.finish().unwrap();
    std::fs::read(&file).unwrap()
}

fn layers() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let layer = prop::collection::vec(any::<u8>(), 0..2000);
    prop::collection::vec(layer, 0..5)
}

/// A layer that looks compressed is taken for that.
fn is_plain(layers: &[Vec<u8>]) -> bool {
    let magics = [&[0x1f, 0x8b][..], &[0x28, 0xb5, 0x2f, 0xfd]];
    let skipped =
        |it: &[u8]| it.len() > 3 && it[0] & 0xf0 == 0x50 && it[1..4] == [0x2a, 0x4d, 0x18];
    !layers
        .iter()
        .any(|it| magics.iter().any(|magic| it.starts_with(magic)) || skipped(it))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(layers in layers().prop_filter("plain", |it| is_plain(it))) {
        let mut distinct = layers.clone();
        distinct.sort();
        distinct.dedup();
        prop_assert_eq!(read(&written(&layers)).unwrap(), distinct.len() + 1);
    }

    #[test]
    fn what_was_damaged_is_right_or_refused(
        layers in layers().prop_filter("plain", |it| is_plain(it)),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut bytes = written(&layers);
        for (at, to) in flips {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = read(&bytes);
    }

    #[test]
    fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 1..3000)) {
        prop_assert!(read(&bytes).is_err());
    }
}
