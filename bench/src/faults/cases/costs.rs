//! Faults of thrift: what the upstream is asked beyond what clients need, and who is let in.

use fake_registry::Content;
use fake_registry::Fault;
use fake_registry::Gate;

use super::Case;
use super::Outcome;
use super::Scene;
use super::Verdict;
use super::judge;
use crate::faults::saw::Saw;
use crate::faults::scene::SIZE;
use crate::faults::system::Kind;

pub(super) fn all() -> Vec<Case> {
    vec![
        Case::new("herd", "16 clients pull one cold blob at once", |kind| {
            Box::pin(herd(kind))
        }),
        Case::new(
            "leaver",
            "the only client of a cold blob leaves after 1 MiB; then another one comes",
            |kind| Box::pin(leaver(kind)),
        ),
        Case::new("head", "a `HEAD` of a cold blob", |kind| {
            Box::pin(head(kind))
        }),
        Case::new(
            "range",
            "100 bytes from the middle of a cold blob",
            |kind| Box::pin(range(kind)),
        ),
        Case::new(
            "isolation",
            "a blob of one repository was pulled; it is asked for by way of another one, where \
             the upstream has no such blob",
            |kind| Box::pin(isolation(kind)),
        ),
    ]
}

/// The verdict where one request, or so many bytes, would have been enough.
fn thrifty(scene: &Scene, verdict: Verdict, (gets, bytes): (usize, u64)) -> Verdict {
    let log = scene.up.log();
    let asked = log.iter().filter(|r| r.is_get_of(&scene.digest)).count();
    let sent: u64 = log.iter().map(|r| r.body_bytes_sent).sum();
    match asked > gets || sent > bytes {
        true => verdict.max(Verdict::Costly),
        false => verdict,
    }
}

async fn herd(kind: &Kind) -> anyhow::Result<Outcome> {
    let scene = Scene::new(kind).await?;
    // As over a real link, so that they overlap.
    scene.spoil(Fault::slow(16 * SIZE));
    let pulls: Vec<_> = (0..16)
        .map(|_| {
            let (request, content) = (scene.blob(), scene.content.clone());
            tokio::spawn(async move { Saw::of(request, &content).await })
        })
        .collect();
    let (mut right, mut worst) = (0, Verdict::Right);
    for pull in pulls {
        let saw = pull.await?;
        right += usize::from(saw == Saw::Whole);
        worst = worst.max(judge(&saw));
    }
    scene.settle().await;
    Ok(Outcome {
        verdict: thrifty(&scene, worst, (1, SIZE)),
        client: format!("{right} of 16 get all bytes, right"),
        upstream: scene.asked(),
    })
}

async fn leaver(kind: &Kind) -> anyhow::Result<Outcome> {
    let scene = Scene::new(kind).await?;
    let gate = Gate::new();
    scene.spoil(Fault::stall_after(4 << 20, &gate));
    let mut reply = scene.blob().send().await?;
    reply.read_exactly(1 << 20).await?;
    drop(reply);
    // Time to notice that nobody is there.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    gate.open();
    scene.settle().await;
    let saw = scene.pull().await;
    scene.settle().await;
    Ok(Outcome {
        verdict: thrifty(&scene, judge(&saw), (1, SIZE)),
        client: format!("The other client: {saw}"),
        upstream: scene.asked(),
    })
}

async fn head(kind: &Kind) -> anyhow::Result<Outcome> {
    let scene = Scene::new(kind).await?;
    let url = scene.url(&format!("blobs/{}", scene.digest));
    let reply = scene.client.head(url).send().await?;
    let (status, length) = (reply.status.as_u16(), reply.content_length());
    drop(reply);
    scene.settle().await;
    let is_right = status == 200 && length == Some(SIZE);
    let verdict = if is_right {
        Verdict::Right
    } else {
        Verdict::Fails
    };
    let length = length.map_or("no length".to_owned(), |length| format!("{length} bytes"));
    Ok(Outcome {
        verdict: thrifty(&scene, verdict, (0, 0)),
        client: format!("Client: {status}, {length}"),
        upstream: scene.asked(),
    })
}

async fn range(kind: &Kind) -> anyhow::Result<Outcome> {
    let scene = Scene::new(kind).await?;
    let part = Content::Memory(scene.content.read(8 << 20, 100));
    let saw = Saw::of(scene.blob().range("8388608-8388707"), &part).await;
    scene.settle().await;
    let (text, verdict) = match &saw {
        // Which a client has to bear with.
        Saw::False(SIZE) => ("the whole blob, as a 200".to_owned(), Verdict::Costly),
        saw => (saw.to_string(), judge(saw)),
    };
    Ok(Outcome {
        verdict: thrifty(&scene, verdict, (1, 100)),
        client: format!("Client: {text}"),
        upstream: scene.asked(),
    })
}

async fn isolation(kind: &Kind) -> anyhow::Result<Outcome> {
    let scene = Scene::new(kind).await?;
    scene.up.put_blob("public/app", "something else");
    scene.store().await?;
    let base = scene.system.url();
    let url = format!("{base}/v2/public/app/blobs/{}", scene.digest);
    let saw = Saw::of(scene.client.get(url), &scene.content).await;
    Ok(Outcome {
        verdict: match saw {
            Saw::Whole => Verdict::Wrong,
            _ => Verdict::Right,
        },
        client: format!("Client: {saw}"),
        upstream: scene.asked(),
    })
}
