//! `kill -9` under load.

use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use fake_registry::Fault;
use fake_registry::Image;
use fake_registry::Random;
use fake_registry::When;
use futures_util::future::join_all;
use tokio::task::JoinSet;

use crate::rig::APP;
use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;

const ROUNDS: u64 = 50;
/// The latest moment of a kill after the load began, in microseconds: by then it is nearly through.
const LATEST: u64 = 120_000;
const SIZES: [u64; 6] = [1, 5_000, 200_000, MIB, 2 * MIB, 3 * MIB];

/// What is pulled in one round, and was never pulled before.
struct Load {
    image: Image,
    tag: String,
    blobs: Vec<String>,
}

impl Load {
    fn put(rig: &Rig, round: u64) -> Self {
        let seed = 1000 * round;
        let blob = |(at, size): (u64, &u64)| rig.up.put_generated_blob(APP, *size, seed + at);
        let tag = format!("v{}", round % 7);
        Self {
            image: rig.put_image(&tag, seed),
            blobs: (0..).zip(&SIZES).map(blob).collect(),
            tag,
        }
    }

    /// Pulls all at once, without a look at what comes of it.
    fn begin(&self, rig: &Rig) -> JoinSet<()> {
        let mut wanted = vec![
            format!("manifests/{}", self.tag),
            format!("manifests/{}", self.image.digest()),
        ];
        let layers = self.image.blobs.iter().map(|blob| &blob.digest);
        wanted.extend(layers.chain(&self.blobs).map(|it| format!("blobs/{it}")));
        let mut pulls = JoinSet::new();
        for what in wanted {
            let request = rig.client.get(rig.url(&what));
            let request = request.header("accept", tidegate::oci::media::ACCEPT_NATIVE);
            pulls.spawn(async move {
                if let Ok(reply) = request.send().await {
                    let _ = reply.digest().await;
                }
            });
        }
        pulls
    }

    /// Pulls all at once; all of it must be right.
    async fn pull(&self, rig: &Rig) {
        rig.pull_manifest(&self.tag, self.image.digest()).await;
        let layers = self.image.blobs.iter().map(|blob| &blob.digest);
        join_all(layers.chain(&self.blobs).map(|digest| rig.pull(digest))).await;
    }
}

/// Another one each time; given in `TIDEGATE_SEED`, the same moments again.
fn seed() -> u64 {
    let given = std::env::var("TIDEGATE_SEED").ok();
    let given = given.and_then(|seed| seed.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    given.unwrap_or(now.as_secs())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_50_random_moments_under_load_all_that_is_stored_is_right() {
    let seed = seed();
    println!("TIDEGATE_SEED={seed}");
    let mut random = Random::new(seed);
    // Evictions are under way, too.
    let mut rig = Rig::with(Setup {
        max_size: "20MiB".to_owned(),
        tag_ttl: "1ms".to_owned(),
        ..Setup::default()
    })
    .await;
    rig.up.fault(When::get("blobs"), Fault::slow(40 * MIB));
    let mut stored = 0;
    for round in 1..=ROUNDS {
        let load = Load::put(&rig, round);
        let moment = Duration::from_micros(random.next_u64() % LATEST);
        let pulls = load.begin(&rig);
        tokio::time::sleep(moment).await;
        rig.proxy.process_mut().kill();
        drop(pulls);
        let when = format!("round {round}, killed after {moment:?}");
        let report = rig.offline_json("verify");
        assert_eq!(report["problems"], serde_json::json!([]), "{when}");
        stored += report["blobs"].as_u64().unwrap();
        rig.begin().await;
        assert_eq!(rig.leftovers(), 0, "{when}");
        load.pull(&rig).await;
    }
    assert!(stored > ROUNDS, "the kills came before anything was stored");
    rig.settled().await;
    let report = rig.offline_json("verify");
    assert_eq!(report["problems"], serde_json::json!([]));
}
