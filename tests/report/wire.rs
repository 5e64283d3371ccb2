//! Real traffic: what the registry's client did, against the logs of who answered it.

use std::sync::Arc;
use std::time::Duration;

use fake_registry::Fault;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::When;
use tidegate::ledger::FlowId;
use tidegate::ledger::Ledger;
use tidegate::ledger::Leg;
use tidegate::oci::Name;
use tidegate::registry::Config;
use tidegate::registry::Credentials;
use tidegate::registry::Registry;
use tidegate::registry::Retries;
use tidegate::registry::Timeouts;
use tidegate::report::Column;
use tidegate::report::Live;

const REPOSITORY: &str = "team/app";

fn config(url: &str) -> Config {
    let patience = Duration::from_secs(30);
    Config {
        name: "registry.test".parse().unwrap(),
        url: url.parse().unwrap(),
        leg: Leg::Upstream,
        fallback: Vec::new(),
        credentials: Credentials::Anonymous,
        ca: None,
        plain_http: true,
        allow_private: true,
        max_concurrent: None,
        parallel_ranges: None,
        rate: None,
        bandwidth: None,
        timeouts: Timeouts {
            connect: patience,
            header: patience,
            idle_body: patience,
        },
        retries: Retries {
            attempts: 3,
            base: Duration::from_millis(1),
            cap: Duration::from_secs(2),
        },
    }
}

#[track_caller]
fn figure(tsv: &str, key: &str) -> u64 {
    let line = tsv
        .lines()
        .find(|line| line.split('\t').next() == Some(key));
    let cell = line.and_then(|line| line.split('\t').nth(2));
    let cell = cell.unwrap_or_else(|| panic!("no {key} in\n{tsv}"));
    cell.parse().unwrap()
}

#[tokio::test]
async fn figures_are_those_of_the_servers_own_logs() {
    let tokens = TokenServer::builder().anonymous(&["*:*"]).start().await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    let cdn = Upstream::start().await;
    let small = upstream.put_generated_blob(REPOSITORY, 70_000, 1);
    let large = upstream.put_generated_blob(REPOSITORY, 1_000_000, 2);
    cdn.put_generated_blob(REPOSITORY, 1_000_000, 2);
    let live = Arc::new(Live::default());
    let registry =
        Registry::new(config(&upstream.url()), Ledger::with(vec![live.clone()])).unwrap();
    let name: Name = REPOSITORY.parse().unwrap();
    let pull = async |digest: &str| {
        let digest = digest.parse().unwrap();
        let blob = registry
            .blob_get(FlowId::next(), &name, &digest, None)
            .await;
        let (mut body, mut bytes) = (blob.unwrap().body, 0);
        while let Some(chunk) = body.chunk().await {
            bytes += chunk.unwrap().len();
        }
        bytes
    };
    upstream.fault(When::get("/blobs/").nth(2), Fault::status(503));
    assert_eq!(pull(&small).await, 70_000);
    upstream.fault(
        When::get(large.as_str()),
        Fault::redirect_to_host(&cdn.url()),
    );
    assert_eq!(pull(&large).await, 1_000_000);
    upstream.fault(
        When::get(large.as_str()),
        Fault::redirect_to_host(&cdn.url()),
    );
    assert_eq!(pull(&large).await, 1_000_000);

    let logs = [upstream.log(), cdn.log(), tokens.log()].concat();
    let tsv = tidegate::report::tsv(&[Column::of("x", live.summary())]);
    let figure = |key: &str| figure(&tsv, key);
    assert_eq!(figure("requests"), logs.len() as u64, "{tsv}");
    let sent = logs.iter().map(|it| it.body_bytes_sent).sum::<u64>();
    assert_eq!(figure("response_bytes"), sent, "{tsv}");
    let answered = |status: u16| {
        logs.iter()
            .filter(|it| it.status.is_some_and(|it| it == status))
            .count()
    };
    // Signed in for, tried again, redirected.
    assert_eq!([401, 503, 307, 200].map(answered), [1, 1, 2, 4]);
    assert_eq!(figure("blob_gets"), 3);
    assert_eq!(figure("blob_get_bytes"), 2_070_000);
    assert_eq!(figure("blob_gets_duplicate"), 1);
    assert_eq!(figure("blob_duplicate_bytes"), 1_000_000);
    let host = cdn.url();
    let host = host.trim_start_matches("http://").trim_end_matches('/');
    assert_eq!(
        figure(&format!("host.{host}.requests")),
        cdn.log().len() as u64
    );
}
