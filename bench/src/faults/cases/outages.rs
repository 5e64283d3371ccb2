//! Upstreams that are away, or refuse.

use fake_registry::Client;
use fake_registry::Fault;
use fake_registry::Upstream;
use fake_registry::When;

use super::Case;
use super::Outcome;
use super::Scene;
use super::Verdict;
use super::judge;
use crate::faults::saw::Saw;
use crate::faults::scene::REPOSITORY;
use crate::faults::system::Kind;

pub(super) fn all() -> Vec<Case> {
    vec![
        Case::new(
            "429",
            "the image is stored; every request gets a 429 with `Retry-After: 3600`; ten clients \
             pull it, and one asks for a tag that is not stored",
            |kind| Box::pin(throttled(kind)),
        ),
        Case::new(
            "down",
            "the image is stored, the upstream refuses connections; ten clients pull it",
            |kind| Box::pin(down(kind)),
        ),
        Case::new(
            "down-at-start",
            "the upstream refuses connections when the mirror is started, and comes back",
            |kind| Box::pin(down_at_start(kind)),
        ),
    ]
}

/// What ten clients saw of tag and blob: each thing once.
async fn ten(scene: &Scene) -> (String, Verdict) {
    let (mut texts, mut verdict) = (Vec::<String>::new(), Verdict::Right);
    for _ in 0..10 {
        let (tag, blob) = (scene.pull_tag().await, scene.pull().await);
        verdict = verdict.max(judge(&tag)).max(judge(&blob));
        let text = format!("tag: {tag}, blob: {blob}");
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    (texts.join("; or "), verdict)
}

async fn throttled(kind: &Kind) -> anyhow::Result<Outcome> {
    let scene = Scene::new(kind).await?;
    scene.store().await?;
    let too_many = Fault::status(429).header("retry-after", "3600");
    scene.up.fault(When::any(), too_many);
    let (text, mut verdict) = ten(&scene).await;
    if scene.up.log().len() > 10 {
        verdict = verdict.max(Verdict::Costly);
    }
    let upstream = scene.asked();
    let request = scene.client.get(scene.url("manifests/v2"));
    let cold = Saw::of(request, &scene.manifest).await;
    let is_told = matches!(&cold, Saw::Status(429, Some(_)));
    if !is_told {
        verdict = verdict.max(Verdict::Fails);
    }
    Ok(Outcome {
        verdict,
        client: format!("Clients: {text}; tag that is not stored: {cold}"),
        upstream,
    })
}

async fn down(kind: &Kind) -> anyhow::Result<Outcome> {
    let scene = Scene::new(kind).await?;
    scene.store().await?;
    scene.up.stop().await;
    let (text, verdict) = ten(&scene).await;
    Ok(Outcome {
        verdict,
        client: format!("Clients: {text}"),
        upstream: "away".to_owned(),
    })
}

async fn down_at_start(kind: &Kind) -> anyhow::Result<Outcome> {
    let up = Upstream::start().await;
    let content = fake_registry::Content::generated(1 << 20, 1);
    let digest = up.put_content(REPOSITORY, content.clone());
    up.stop().await;
    let Ok(system) = kind.start(&up.url()).await else {
        return Ok(Outcome {
            verdict: Verdict::Fails,
            client: "It does not start".to_owned(),
            upstream: "away".to_owned(),
        });
    };
    let url = format!("{}/v2/{REPOSITORY}/blobs/{digest}", system.url());
    let pull = async || Saw::of(Client::new().get(&url), &content).await;
    let during = pull().await;
    up.restart().await;
    let after = pull().await;
    Ok(Outcome {
        verdict: judge(&after),
        client: format!("It starts. Client: {during}; when the upstream is back: {after}"),
        upstream: "away at first".to_owned(),
    })
}
