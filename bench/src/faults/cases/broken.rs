//! Answers that break off, stop, or are wrong; and how the next pull fares when that is over.

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::When;

use super::Case;
use super::Outcome;
use super::Scene;
use super::Verdict;
use super::judge;
use super::judge_hopeless;
use crate::faults::saw::Saw;
use crate::faults::scene::SIZE;
use crate::faults::system::Kind;

const MIB: u64 = 1 << 20;

pub(super) fn all() -> Vec<Case> {
    vec![
        Case::new(
            "cut",
            "each answer to a `GET` of the whole blob is cut after 5 MiB; ranges are answered",
            |kind| Box::pin(cut(kind)),
        ),
        Case::new("cuts", "each answer is cut after 3 MiB", |kind| {
            Box::pin(spoilt(kind, Fault::cut_after(3 * MIB), judge))
        }),
        Case::new(
            "stall",
            "each answer to a `GET` of the whole blob stops after 5 MiB, without an end",
            |kind| Box::pin(stall(kind)),
        ),
        Case::new("flip", "a bit in the middle of the blob is wrong", |kind| {
            Box::pin(spoilt(kind, Fault::flip_bit_at(SIZE / 2), judge_hopeless))
        }),
        Case::new("last-bit", "the last bit of the blob is wrong", |kind| {
            Box::pin(spoilt(kind, Fault::flip_bit_at(SIZE - 1), judge_hopeless))
        }),
        Case::new(
            "short",
            "`Content-Length` is 1,000 bytes less than the blob",
            |kind| Box::pin(spoilt(kind, Fault::wrong_length(-1000), judge_hopeless)),
        ),
        Case::new(
            "long",
            "`Content-Length` is 1,000 bytes more than the blob",
            |kind| Box::pin(spoilt(kind, Fault::wrong_length(1000), judge)),
        ),
        Case::new("empty", "a 200 without a byte", |kind| {
            Box::pin(spoilt(kind, Fault::length(0), judge_hopeless))
        }),
    ]
}

async fn cut(kind: &Kind) -> anyhow::Result<Outcome> {
    let scene = Scene::new(kind).await?;
    whole_ones(&scene, Fault::cut_after(5 * MIB));
    conclude(&scene, judge).await
}

async fn stall(kind: &Kind) -> anyhow::Result<Outcome> {
    let scene = Scene::new(kind).await?;
    whole_ones(&scene, Fault::stall_after(5 * MIB, &Gate::new()));
    conclude(&scene, judge).await
}

fn whole_ones(scene: &Scene, fault: Fault) {
    let when = When::get(&scene.digest).and(|request| request.header("range").is_none());
    scene.up.fault(when, fault);
}

async fn spoilt(kind: &Kind, fault: Fault, judge: fn(&Saw) -> Verdict) -> anyhow::Result<Outcome> {
    let scene = Scene::new(kind).await?;
    scene.spoil(fault);
    conclude(&scene, judge).await
}

/// A pull during the fault, and one after it.
async fn conclude(scene: &Scene, judge: fn(&Saw) -> Verdict) -> anyhow::Result<Outcome> {
    let during = scene.pull().await;
    scene.settle().await;
    let upstream = scene.asked();
    scene.up.clear_faults();
    // Bodies that stall still do: their connections are to end.
    scene.up.restart().await;
    let after = scene.pull().await;
    let verdict = judge(&during).max(super::judge(&after));
    Ok(Outcome {
        verdict,
        client: format!("Client: {during}; when it is over: {after}"),
        upstream,
    })
}
