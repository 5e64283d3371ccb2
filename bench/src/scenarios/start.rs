//! A system starts with a hundred thousand blobs in its store: how long until the first byte of one
//! of them comes.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use sha2::Digest;
use sha2::Sha256;
use tempfile::TempDir;

use super::Bench;
use super::Scenario;
use crate::corpus::Blob;
use crate::corpus::digest_of;
use crate::measure::quantile;
use crate::peers::Peer;
use crate::report::Aim;
use crate::report::Line;

/// How many blobs there are, beside the one that is pulled.
const BLOBS: usize = 100_000;
/// How often a system is started.
const STARTS: usize = 3;
/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the blob is that is pulled, in bytes.
const SIZE: u64 = 64 * 1024;

/// Starts on a full store.
#[derive(Debug)]
pub(super) struct Start;

impl Scenario for Start {
    fn name(&self) -> &'static str {
        "start"
    }

    fn question(&self) -> &'static str {
        "How long does a start on a store of 100,000 blobs take, to the first byte of one of them?"
    }

    fn concerns(&self, peer: &Peer) -> bool {
        // Those whose store is laid out in this way; the same folder does for both.
        matches!(peer.name(), "tidegate" | "docker-registry")
    }

    fn rows(&self) -> Vec<Line> {
        vec![
            Line::new("start to first byte, 100,000 blobs", "ms").aim(Aim::AtMost(200.0)),
            Line::new("- peak memory", "MiB"),
        ]
    }

    fn run(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Option<f64>>> {
        let blobs = bench.image("start", SIZE, 1)?;
        bench.store(&blobs[0])?;
        bench.system.end();
        let _memory = into_memory(&bench.system.dir().join("data"))?;
        fill(bench.system.dir(), &blobs[0].digest)?;
        let mut starts = Vec::new();
        for _ in 0..STARTS {
            starts.push(start(bench, &blobs[0])?);
        }
        let peak = bench.peak();
        bench.system.end();
        Ok(vec![quantile(&starts, 0.5), peak])
    }
}

/// Moves the store into memory: to make and remove half a million files and folders on a disk takes
/// minutes. What a start reads is in the page cache there as it is here.
fn into_memory(data: &Path) -> anyhow::Result<TempDir> {
    let memory = tempfile::Builder::new()
        .prefix("tidegate-bench-")
        .tempdir_in(MEMORY)
        .with_context(|| format!("the store can't be put into {MEMORY}"))?;
    let moved = memory.path().join("data");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(data)
        .arg(&moved)
        .status()?;
    anyhow::ensure!(copied.success(), "{} can't be copied", data.display());
    fs::remove_dir_all(data)?;
    std::os::unix::fs::symlink(&moved, data)?;
    Ok(memory)
}

/// A file system in memory.
const MEMORY: &str = "/dev/shm";

/// Ends the system and starts it again: milliseconds to the first byte.
fn start(bench: &Bench<'_>, blob: &Arc<Blob>) -> anyhow::Result<f64> {
    bench.system.end();
    let begun = Instant::now();
    bench.system.spawn()?;
    loop {
        // It does not listen at once: what fails then is tried again.
        let tried = Instant::now();
        match bench.puller.pull(blob) {
            Ok(pulled) => {
                let waited = tried.duration_since(begun) + pulled.first_byte;
                return Ok(waited.as_secs_f64() * 1e3);
            }
            Err(error) if begun.elapsed() > PATIENCE => {
                return Err(error).context("it does not serve what it had");
            }
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Puts blobs into the store in `dir`, and links each to the repository that has `digest` already.
fn fill(dir: &Path, digest: &str) -> anyhow::Result<()> {
    let hex = digest.trim_start_matches("sha256:");
    let data = dir.join("data/docker/registry/v2");
    let links = find(&data.join("repositories"), hex)
        .with_context(|| format!("no repository in {} has {digest}", data.display()))?;
    let blobs = data.join("blobs/sha256");
    let threads = std::thread::available_parallelism()?.get();
    std::thread::scope(|scope| {
        let (blobs, links) = (&blobs, &links);
        let share = |first: usize| (first..BLOBS).step_by(threads);
        let one = |first| move || share(first).try_for_each(|number| put(blobs, links, number));
        let all: Vec<_> = (0..threads).map(|first| scope.spawn(one(first))).collect();
        all.into_iter().try_for_each(|it| match it.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// One small blob, and its link.
fn put(blobs: &Path, links: &Path, number: usize) -> anyhow::Result<()> {
    let content = format!("blob {number}");
    let digest = digest_of(Sha256::new_with_prefix(&content));
    let hex = digest.trim_start_matches("sha256:");
    let blob = blobs.join(&hex[..2]).join(hex);
    fs::create_dir_all(&blob)?;
    fs::write(blob.join("data"), &content)?;
    let link = links.join(hex);
    fs::create_dir_all(&link)?;
    fs::write(link.join("link"), &digest)?;
    Ok(())
}

/// The folder of layers' links that has one named `hex`.
fn find(folder: &Path, hex: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    for entry in entries.filter(|entry| entry.path().is_dir()) {
        if entry.file_name() == hex && folder.ends_with("_layers/sha256") {
            return Some(folder.to_owned());
        }
        if let Some(found) = find(&entry.path(), hex) {
            return Some(found);
        }
    }
    None
}
