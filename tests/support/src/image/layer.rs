//! Layers: tar archives of small files, compressed.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::GzBuilder;

use crate::digest::digest_of;
use crate::random::Random;

/// A file to be put into a layer.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) bytes: Bytes,
    pub(super) mode: u32,
}

/// A compressed layer.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) bytes: Bytes,
    /// The digest of the archive before compression: an entry of the config's `diff_ids`.
    pub(super) diff_id: String,
}

/// Files of about `size` bytes in all, half of them text and half noise.
pub(super) fn files(seed: u64, size: usize) -> Vec<File> {
    let mut random = Random::new(seed);
    let count = (size / 16_384).clamp(2, 64);
    let files = (0..count).map(|number| {
        let mut bytes = vec![0; size / count];
        if number % 2 == 0 {
            random.fill(&mut bytes);
        } else {
            let line = format!("line of file {number}, {:016x}\n", random.next_u64());
            bytes = line.bytes().cycle().take(size / count).collect();
        }
        let path = format!("data/{:016x}/file-{number}", random.next_u64());
        File {
            path,
            bytes: bytes.into(),
            mode: 0o644,
        }
    });
    files.collect()
}

/// A file of `size` bytes that don't compress.
pub(super) fn noise(seed: u64, size: usize) -> File {
    let mut bytes = vec![0; size];
    Random::new(seed).fill(&mut bytes);
    File {
        path: format!("data/{seed:016x}"),
        bytes: bytes.into(),
        mode: 0o644,
    }
}

/// A `tar.gz` with these files; the same files always give the same bytes.
pub(super) fn pack(files: &[File]) -> Layer {
    let mut archive = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.bytes.len() as u64);
        header.set_mode(file.mode);
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        archive
            .append_data(&mut header, &file.path, &file.bytes[..])
            .expect("a file is archived");
    }
    let archive = archive.into_inner().expect("the archive is finished");
    let mut gzip = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::fast());
    gzip.write_all(&archive).expect("a write to memory");
    let bytes = gzip.finish().expect("a write to memory").into();
    Layer {
        bytes,
        diff_id: digest_of(&archive),
    }
}
