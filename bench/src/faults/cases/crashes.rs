//! A process that is killed, and a store that was damaged.

use std::fs;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::Context;
use fake_registry::Fault;
use fake_registry::Gate;

use super::Case;
use super::Outcome;
use super::Scene;
use super::Verdict;
use super::judge;
use crate::faults::saw::Bytes;
use crate::faults::saw::Saw;
use crate::faults::scene::SIZE;
use crate::faults::system::Kind;

pub(super) fn all() -> Vec<Case> {
    vec![
        Case::new(
            "kill",
            "the mirror is killed (SIGKILL) in mid-fill and started again",
            |kind| Box::pin(kill(kind)),
        ),
        Case::new(
            "corrupted",
            "a byte of a stored blob's file is wrong",
            |kind| {
                Box::pin(damaged(kind, |file| {
                    let file = OpenOptions::new().write(true).read(true).open(file)?;
                    let mut byte = [0];
                    file.read_exact_at(&mut byte, SIZE / 2)?;
                    Ok(file.write_all_at(&[byte[0] ^ 1], SIZE / 2)?)
                }))
            },
        ),
        Case::new(
            "truncated",
            "a stored blob's file lacks its second half",
            |kind| {
                Box::pin(damaged(kind, |file| {
                    let file = OpenOptions::new().write(true).open(file)?;
                    Ok(file.set_len(SIZE / 2)?)
                }))
            },
        ),
        Case::new("deleted", "a stored blob's file was deleted", |kind| {
            Box::pin(damaged(kind, |file| Ok(fs::remove_file(file)?)))
        }),
    ]
}

async fn kill(kind: &Kind) -> anyhow::Result<Outcome> {
    let mut scene = Scene::new(kind).await?;
    let gate = Gate::new();
    scene.spoil(Fault::stall_after(8 << 20, &gate));
    let mut reply = scene.blob().send().await?;
    reply.read_exactly(4 << 20).await?;
    scene.system.crash().await;
    drop(reply);
    scene.up.clear_faults();
    scene.up.restart().await;
    scene.up.clear_log();
    let saw = scene.pull().await;
    scene.settle().await;
    let again = scene.pull().await;
    let upstream = scene.asked();
    let left = size_of(&scene.system.store()).saturating_sub(SIZE);
    let mut verdict = judge(&saw).max(judge(&again));
    if left > 1 << 20 || scene.up.gets_of(&scene.digest).len() > 1 {
        verdict = verdict.max(Verdict::Costly);
    }
    Ok(Outcome {
        verdict,
        client: format!(
            "Client: {saw}, then {again}; {} in the store beyond the blob",
            Bytes(left)
        ),
        upstream,
    })
}

/// A pull of what was damaged behind the mirror's back, and another one.
async fn damaged(kind: &Kind, damage: fn(&Path) -> anyhow::Result<()>) -> anyhow::Result<Outcome> {
    let scene = Scene::new(kind).await?;
    scene.store().await?;
    let file = scene.system.blob(&scene.digest);
    damage(&file).with_context(|| format!("{} can't be damaged", file.display()))?;
    let first = scene.pull().await;
    scene.settle().await;
    let second = scene.pull().await;
    let second_right = second == Saw::Whole;
    let verdict = judge(&first).max(judge(&second));
    let healed = if second_right { "" } else { ", not healed" };
    Ok(Outcome {
        verdict,
        client: format!("Client: {first}; the next one: {second}{healed}"),
        upstream: scene.asked(),
    })
}

fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
