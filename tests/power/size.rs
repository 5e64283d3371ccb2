//! `max_size` bounds what is on the disk, with no more than one fill beyond, whatever is pulled at
//! the same time.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use fake_registry::Fault;
use fake_registry::When;
use futures_util::future::join_all;

use crate::rig::APP;
use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;

const LIMIT: u64 = 16 * MIB;

/// Looks at the disk again and again, beside a test.
struct Watch {
    end: Arc<AtomicBool>,
    thread: JoinHandle<(u64, usize)>,
}

impl Watch {
    fn begin(rig: &Rig) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let (folders, over) = (folders(rig), end.clone());
        let look = move || {
            let (mut most, mut looks) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                most = most.max(stored(&folders));
                looks += 1;
            }
            (most, looks)
        };
        let thread = std::thread::spawn(look);
        Self { end, thread }
    }

    /// The most that was there at any look, in bytes.
    fn most(self) -> u64 {
        self.end.store(true, Ordering::Relaxed);
        let (most, looks) = self.thread.join().unwrap();
        assert!(looks > 20, "only {looks} looks");
        most
    }
}

/// Where blobs and what is to become one are.
fn folders(rig: &Rig) -> [PathBuf; 2] {
    let store = rig.store();
    [
        store.join("docker/registry/v2/blobs"),
        store.join("tidegate/tmp"),
    ]
}

/// The length of all files that are there at one moment, in bytes. As a look takes its time, only
/// those count that were there before the moment and are still there afterwards.
fn stored(folders: &[PathBuf]) -> u64 {
    let mut before = HashMap::new();
    for folder in folders {
        walk(folder, &mut before);
    }
    let stays = |(number, (path, _)): &(&u64, &(PathBuf, u64))| {
        fs::metadata(path).is_ok_and(|now| now.ino() == **number)
    };
    let there = before.iter().filter(stays);
    there.map(|(_, (_, size))| size).sum()
}

fn walk(folder: &Path, files: &mut HashMap<u64, (PathBuf, u64)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => walk(&entry.path(), files),
            // Links that are about to be placed are no blobs.
            Ok(metadata) if metadata.len() > 4096 => {
                files.insert(metadata.ino(), (entry.path(), metadata.len()));
            }
            Ok(_) | Err(_) => {}
        }
    }
}

async fn limited() -> Rig {
    let rig = Rig::with(Setup {
        max_size: "16MiB".to_owned(),
        ..Setup::default()
    })
    .await;
    // All of them are under way at the same time.
    rig.up.fault(When::get("blobs"), Fault::slow(2 * MIB));
    rig
}

/// Pulls blobs of these sizes at the same time, and returns the most that was on the disk.
async fn pull_all(rig: &Rig, sizes: &[u64]) -> u64 {
    let put = |(seed, size): (u64, &u64)| rig.up.put_generated_blob(APP, *size, seed);
    let digests: Vec<_> = (0..).zip(sizes).map(put).collect();
    let watch = Watch::begin(rig);
    join_all(digests.iter().map(|digest| rig.pull(digest))).await;
    rig.settled().await;
    watch.most()
}

#[tokio::test(flavor = "multi_thread")]
async fn max_size_holds_within_one_fill_while_64_are_under_way() {
    let rig = limited().await;
    let most = pull_all(&rig, &[MIB; 64]).await;
    assert!(most <= LIMIT + MIB, "{most} bytes");
    assert!(most > LIMIT / 2, "only {most} bytes were there");
    let left = stored(&folders(&rig));
    assert!(left <= LIMIT, "{left} bytes are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn max_size_holds_within_one_fill_where_no_length_is_known() {
    let rig = limited().await;
    rig.up
        .fault(When::path("blobs"), Fault::no_content_length());
    let most = pull_all(&rig, &[MIB; 40]).await;
    assert!(most <= LIMIT + MIB, "{most} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn max_size_holds_within_one_fill_where_blobs_are_larger_than_it() {
    let rig = limited().await;
    rig.up.clear_faults();
    rig.up.fault(When::get("blobs"), Fault::slow(20 * MIB));
    let mut sizes = vec![LIMIT + MIB; 4];
    sizes.extend([MIB; 16]);
    let most = pull_all(&rig, &sizes).await;
    assert!(most <= LIMIT + LIMIT + MIB, "{most} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn max_size_holds_within_one_fill_from_the_start_on() {
    let mut rig = limited().await;
    rig.up.clear_faults();
    for seed in 100..116 {
        rig.store_blob(MIB, seed).await;
    }
    rig.stop().await;
    rig.begin().await;
    let most = pull_all(&rig, &[MIB; 64]).await;
    assert!(most <= LIMIT + MIB, "{most} bytes");
}
