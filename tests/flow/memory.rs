//! Memory is bounded by a constant, however many pull: of a process of its own, as the kernel
//! counts it.

use fake_registry::Client;
use fake_registry::Tidegate;
use fake_registry::Upstream;
use futures_util::future::join_all;

use crate::rig::MIB;

async fn proxy(up: &Upstream) -> Tidegate {
    let config = format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        admin = "127.0.0.1:0"
        [store]
        path = "store"
        [[upstream]]
        name = "up.test"
        url = "{}"
        plain_http = true
        default = true
        "#,
        up.url()
    );
    Tidegate::start(env!("CARGO_BIN_EXE_tidegate"), &config).await
}

async fn pull_all(proxy: &Tidegate, digests: &[String]) {
    let client = Client::new();
    let (client, proxy) = (&client, proxy.url());
    let pulls = digests.iter().map(|digest| async move {
        let url = format!("{proxy}/v2/demo/app/blobs/{digest}");
        let reply = client.get(url).send().await.expect("an answer");
        assert_eq!(&reply.digest().await.expect("a whole blob"), digest);
    });
    join_all(pulls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_herd_on_one_cold_blob() {
    let up = Upstream::start().await;
    let digest = up.put_generated_blob("demo/app", 64 * MIB, 1);
    let proxy = proxy(&up).await;
    pull_all(&proxy, &vec![digest.clone(); 64]).await;
    assert_eq!(up.gets_of(&digest).len(), 1);
    let peak = proxy.peak_rss();
    assert!(peak < 64 * MIB, "{peak} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_cold_blobs_at_once() {
    let up = Upstream::start().await;
    let digests: Vec<_> = (0..64)
        .map(|seed| up.put_generated_blob("demo/app", 8 * MIB, 100 + seed))
        .collect();
    let proxy = proxy(&up).await;
    pull_all(&proxy, &digests).await;
    assert_eq!(up.log().len(), 64);
    let peak = proxy.peak_rss();
    assert!(peak < 64 * MIB, "{peak} bytes");
}
