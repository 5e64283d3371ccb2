//! Each exchange on the wire leaves one receipt.

use std::collections::HashMap;

use fake_registry::Fault;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::When;
use tidegate::ledger::FlowId;

use crate::journal;
use crate::setup::REPOSITORY;
use crate::setup::blob;
use crate::setup::config;
use crate::setup::get;
use crate::setup::open;
use crate::setup::put;
use crate::setup::read;

/// The upstream's name, which no other test has.
const UPSTREAM: &str = "books.test";

/// This test's receipts since the last call: method, action, status, end, bytes.
fn take(seen: &mut usize) -> Vec<String> {
    let lines = journal::lines_with(&["tidegate::ledger: ", UPSTREAM]);
    let receipts = lines
        .iter()
        .filter_map(|line| line.split_once("tidegate::ledger: "));
    let new = receipts.filter_map(|(_, text)| summary(text)).skip(*seen);
    let new: Vec<_> = new.collect();
    *seen += new.len();
    new
}

fn summary(receipt: &str) -> Option<String> {
    let mut words = receipt.split(' ');
    let subject = [words.next().unwrap(), words.next().unwrap()];
    let fields: HashMap<_, _> = words.filter_map(|word| word.split_once('=')).collect();
    if fields["upstream"].trim_matches('"') != UPSTREAM {
        return None;
    }
    assert!(fields["host"].starts_with("\"127.0.0.1:"), "{receipt}");
    let end = fields["end"].trim_matches('"');
    let subject = subject.join(" ");
    Some(format!(
        "{subject} {} {end} {}",
        fields["status"], fields["bytes"]
    ))
}

#[tokio::test]
async fn every_exchange_is_in_the_books() {
    let mut seen = 0;
    let tokens = TokenServer::builder().anonymous(&["*:*"]).start().await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    let cdn = Upstream::start().await;
    put(&upstream);
    let digest = upstream.put_generated_blob(REPOSITORY, 100_000, 1);
    cdn.put_generated_blob(REPOSITORY, 100_000, 1);
    let mut named = config(&upstream.url());
    named.name = UPSTREAM.parse().unwrap();
    let registry = open(named);

    upstream.fault(When::get("/manifests/").nth(2), Fault::status(503));
    get(&registry).await.unwrap();
    let wire = upstream.log().len() + tokens.log().len();
    let mut receipts = take(&mut seen);
    assert_eq!(receipts.len(), wire, "{receipts:#?}");
    for receipt in &mut receipts {
        let (receipt_but_bytes, bytes) = receipt.rsplit_once(' ').unwrap();
        assert_ne!(bytes, "0", "each of these has a body");
        *receipt = receipt_but_bytes.to_owned();
    }
    assert_eq!(
        receipts,
        [
            "GET manifest-get 401 complete",
            "GET token 200 complete",
            "GET manifest-get 503 complete",
            "GET manifest-get 200 complete",
        ]
    );

    upstream.fault(When::get("/blobs/"), Fault::redirect_to_host(&cdn.url()));
    let redirected = "GET blob-get 307 complete 0";
    read(blob(&registry, &digest).await.unwrap()).await.unwrap();
    assert_eq!(
        take(&mut seen),
        [redirected, "GET redirect 200 complete 100000"]
    );

    drop(blob(&registry, &digest).await.unwrap());
    assert_eq!(
        take(&mut seen),
        [redirected, "GET redirect 200 cancelled 0"]
    );

    cdn.fault(When::any(), Fault::cut_after(50_000));
    read(blob(&registry, &digest).await.unwrap())
        .await
        .unwrap_err();
    assert_eq!(
        take(&mut seen),
        [redirected, "GET redirect 200 failed 50000"]
    );

    upstream.stop().await;
    registry.ping(FlowId::next()).await.unwrap_err();
    assert_eq!(take(&mut seen), ["GET ping 0 failed 0"; 3]);
}
