//! What errands get of the flow: one upstream `GET` whoever asks, and their turn.

use std::sync::Arc;
use std::time::Duration;

use fake_registry::Client;
use fake_registry::Content;
use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::When;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tidegate::flow::OnDisconnect;
use tidegate::ledger::FlowId;
use tidegate::oci::Digest;
use tidegate::oci::Repository;
use tidegate::registry;
use tidegate::registry::Credentials;
use tidegate::target::Cause;
use tidegate::target::Missing;
use tidegate::target::Pace;
use tidegate::target::Supply;

use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::cache;

/// Longer than the quiet that the background waits for.
const LONG: Duration = Duration::from_millis(1500);

fn repository(text: &str) -> Repository {
    Repository::new(
        "up.test".parse().expect("a name"),
        text.parse().expect("a name"),
    )
}

fn cause(pace: Pace) -> Cause {
    let flow = FlowId::next();
    Cause {
        flow,
        pace,
        ours: false,
    }
}

/// The digest of all that comes of a blob.
async fn read(content: registry::Content) -> Result<String, String> {
    let (mut chunks, mut all) = (content.chunks, Vec::new());
    while let Some(chunk) = chunks.next().await {
        all.extend_from_slice(&chunk.map_err(|error| error.to_string())?);
    }
    assert_eq!(all.len() as u64, content.size);
    Ok(Digest::of(&all).to_string())
}

/// An errand's blob, read to its end.
async fn fetch(
    supply: Arc<dyn Supply>,
    (name, digest): (&str, &str),
    pace: Pace,
) -> Result<String, Missing> {
    let (repository, digest) = (repository(name), digest.parse().expect("a digest"));
    let content = supply.blob(&repository, &digest, cause(pace)).await?;
    read(content).await.map_err(Missing::Later)
}

fn spawned(
    rig: &Rig,
    digest: &str,
    pace: Pace,
) -> tokio::task::JoinHandle<Result<String, Missing>> {
    let (supply, digest) = (rig.supply(), digest.to_owned());
    rig.spawn(async move { fetch(supply, ("demo/app", &digest), pace).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_and_errands_share_one_get() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", 8 * MIB, 8001);
    let gate = Gate::new();
    rig.up
        .fault(When::get(&digest), Fault::stall_after(MIB, &gate));
    let first = spawned(&rig, &digest, Pace::Client);
    let path = format!("demo/app/blobs/{digest}");
    // It waits for the header alone, as the bytes stall: one of both has begun the fill by then.
    let client = rig.get(&path).await;
    let second = spawned(&rig, &digest, Pace::Background);
    gate.open();
    assert_eq!(client.digest().await.unwrap(), digest);
    assert_eq!(first.await.unwrap().unwrap(), digest);
    assert_eq!(second.await.unwrap().unwrap(), digest);
    assert_eq!(rig.asked(), (0, 1));
    rig.flow.settled().await;
    let stored = spawned(&rig, &digest, Pace::Background);
    assert_eq!(stored.await.unwrap().unwrap(), digest);
    assert_eq!(rig.asked(), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_wait_waits_until_no_client_waits() {
    let rig = Rig::start().await;
    let wanted = rig.up.put_generated_blob("demo/app", 2 * MIB, 8002);
    let later = rig.up.put_generated_blob("demo/app", MIB, 8003);
    let joined = rig.up.put_generated_blob("demo/app", MIB, 8004);
    let gate = Gate::new();
    rig.up
        .fault(When::get(&wanted), Fault::stall_after(MIB, &gate));
    let client = rig.get(&format!("demo/app/blobs/{wanted}")).await;
    let mut background = spawned(&rig, &later, Pace::Background);
    let beside = spawned(&rig, &joined, Pace::Background);
    // A client that wants the same brings it for who waits, too.
    let other = rig.get(&format!("demo/app/blobs/{joined}")).await;
    assert_eq!(other.digest().await.unwrap(), joined);
    assert_eq!(beside.await.unwrap().unwrap(), joined);
    let waited = tokio::time::timeout(LONG, &mut background).await;
    assert!(waited.is_err(), "a client waits");
    assert_eq!(rig.up.count(|it| it.path.contains(&later)), 0);
    gate.open();
    assert_eq!(client.digest().await.unwrap(), wanted);
    assert_eq!(background.await.unwrap().unwrap(), later);
    assert_eq!(rig.asked(), (0, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_never_waits_for_what_can_wait() {
    let rig = Rig::start().await;
    let gate = Gate::new();
    let blobs: Vec<_> = (0..3)
        .map(|n| rig.up.put_generated_blob("demo/app", MIB, 8010 + n))
        .collect();
    let wanted = rig.up.put_generated_blob("demo/app", MIB, 8020);
    for blob in &blobs {
        rig.up
            .fault(When::get(blob), Fault::stall_after(1000, &gate));
    }
    let mut background: Vec<_> = blobs[..2]
        .iter()
        .map(|blob| spawned(&rig, blob, Pace::Background))
        .collect();
    // Where no client waits, what the registry's window lets through begins.
    rig.up.wait_for(|log| log.len() == 2).await;
    let client = rig.get(&format!("demo/app/blobs/{wanted}")).await;
    assert_eq!(client.digest().await.unwrap(), wanted);
    // While one does, no other.
    let stalled = rig.up.put_generated_blob("demo/app", MIB, 8021);
    let client_gate = Gate::new();
    rig.up
        .fault(When::get(&stalled), Fault::stall_after(1000, &client_gate));
    let client = rig.get(&format!("demo/app/blobs/{stalled}")).await;
    background.push(spawned(&rig, &blobs[2], Pace::Background));
    tokio::time::sleep(LONG).await;
    assert_eq!(rig.up.count(|it| it.path.contains(&blobs[2])), 0);
    client_gate.open();
    assert_eq!(client.digest().await.unwrap(), stalled);
    gate.open();
    for (fetched, blob) in join_all(background).await.into_iter().zip(&blobs) {
        assert_eq!(fetched.unwrap().unwrap(), *blob);
    }
    assert_eq!(rig.asked(), (0, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_wait_gives_way_in_the_midst_of_a_blob() {
    let rig = Rig::start().await;
    let gate = Gate::new();
    let stalled = rig.up.put_generated_blob("demo/app", MIB, 8022);
    rig.up
        .fault(When::get(&stalled), Fault::stall_after(1000, &gate));
    let large = rig.up.put_generated_blob("demo/app", 64 * MIB, 8023);
    let first = Gate::new();
    rig.up
        .fault(When::get(&large), Fault::stall_after(MIB, &first));
    let mut background = spawned(&rig, &large, Pace::Background);
    rig.up.wait_for(|log| !log.is_empty()).await;
    let client = rig.get(&format!("demo/app/blobs/{stalled}")).await;
    first.open();
    let waited = tokio::time::timeout(LONG, &mut background).await;
    assert!(waited.is_err(), "it goes on as if nobody waited");
    // A client of its own puts an end to that.
    let other = rig.get(&format!("demo/app/blobs/{large}")).await;
    assert_eq!(other.digest().await.unwrap(), large);
    assert_eq!(background.await.unwrap().unwrap(), large);
    gate.open();
    assert_eq!(client.digest().await.unwrap(), stalled);
    assert_eq!(rig.asked(), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_sends_those_away_who_wait() {
    let rig = Rig::start().await;
    let wanted = rig.up.put_generated_blob("demo/app", 2 * MIB, 8030);
    let later = rig.up.put_generated_blob("demo/app", MIB, 8031);
    let gate = Gate::new();
    rig.up
        .fault(When::get(&wanted), Fault::stall_after(MIB, &gate));
    let client = rig.get(&format!("demo/app/blobs/{wanted}")).await;
    let background = spawned(&rig, &later, Pace::Background);
    rig.flow.drain();
    let sent_away = background.await.unwrap();
    assert!(matches!(sent_away, Err(Missing::Later(_))), "{sent_away:?}");
    gate.open();
    assert_eq!(client.digest().await.unwrap(), wanted);
    assert_eq!(rig.asked(), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_errand_keeps_up_a_fill_that_all_clients_left() {
    let setup = Setup {
        on_disconnect: OnDisconnect::Abort,
        ..Setup::default()
    };
    let rig = Rig::with(setup).await;
    let digest = rig.up.put_generated_blob("demo/app", 8 * MIB, 8040);
    let gate = Gate::new();
    rig.up
        .fault(When::get(&digest).times(1), Fault::stall_after(MIB, &gate));
    let mut client = Client::new()
        .get(rig.url(&format!("demo/app/blobs/{digest}")))
        .send()
        .await
        .unwrap();
    client.read_exactly(1000).await.unwrap();
    let (repository, wanted) = (repository("demo/app"), digest.parse().unwrap());
    let supply = rig.supply();
    let ask = async move { supply.blob(&repository, &wanted, cause(Pace::Client)).await };
    let content = rig.spawn(ask).await.unwrap().unwrap();
    drop(client);
    gate.open();
    assert_eq!(rig.spawn(read(content)).await.unwrap().unwrap(), digest);
    assert_eq!(rig.asked(), (0, 1));
    rig.flow.settled().await;
    let again = rig.get(&format!("demo/app/blobs/{digest}")).await;
    assert_eq!(cache(&again), "HIT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_costs_no_second_get_for_an_errand() {
    let rig = Rig::start().await;
    let tmp = rig.store().join("tidegate/tmp");
    std::fs::remove_dir_all(&tmp).unwrap();
    std::fs::write(&tmp, "a file where a folder must be").unwrap();
    let digest = rig.up.put_generated_blob("demo/app", 2 * MIB, 8050);
    let fetched = spawned(&rig, &digest, Pace::Client).await.unwrap();
    assert!(matches!(fetched, Err(Missing::Later(_))), "{fetched:?}");
    assert_eq!(rig.asked(), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_told_from_what_may_come() {
    let rig = Rig::start().await;
    let gone = Content::generated(10, 8060).digest();
    let fetched = spawned(&rig, &gone, Pace::Client).await.unwrap();
    assert!(matches!(fetched, Err(Missing::Gone(_))), "{fetched:?}");
    let later = rig.up.put_generated_blob("demo/app", MIB, 8061);
    rig.up.fault(When::get(&later), Fault::status(500));
    let fetched = spawned(&rig, &later, Pace::Client).await.unwrap();
    assert!(matches!(fetched, Err(Missing::Later(_))), "{fetched:?}");
    let (supply, digest) = (rig.supply(), gone.parse().unwrap());
    let ask = async move {
        let repository = repository("demo/app");
        supply
            .manifest(&repository, &digest, cause(Pace::Client))
            .await
    };
    let manifest = rig.spawn(ask).await.unwrap();
    assert!(matches!(manifest, Err(Missing::Gone(_))), "{manifest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_brought_opens_for_no_errand() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", MIB, 8070);
    let path = format!("demo/app/blobs/{digest}");
    assert_eq!(rig.get(&path).await.digest().await.unwrap(), digest);
    rig.flow.settled().await;
    rig.put_image("evil/app", "v1", &[&digest]);
    let (supply, wanted) = (rig.supply(), digest.clone());
    let ask = async move { fetch(supply, ("evil/app", &wanted), Pace::Client).await };
    let fetched = rig.spawn(ask).await.unwrap();
    assert!(matches!(fetched, Err(Missing::Gone(_))), "{fetched:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_sign_in_for_themselves_is_no_errands() {
    let setup = Setup {
        credentials: Credentials::Passthrough,
        ..Setup::default()
    };
    let rig = Rig::with(setup).await;
    let digest = rig.up.put_generated_blob("demo/app", MIB, 8080);
    let fetched = spawned(&rig, &digest, Pace::Client).await.unwrap();
    assert!(matches!(fetched, Err(Missing::Gone(_))), "{fetched:?}");
    assert_eq!(rig.asked(), (0, 0));
}
