//! Each exchange on the wire leaves one receipt.

use std::io;
use std::io::Write;
use std::sync::Arc;
use std::sync::Mutex;

use fake_registry::Fault;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::When;
use tidegate::ledger::FlowId;
use tracing_subscriber::fmt::MakeWriter;

use crate::setup::REPOSITORY;
use crate::setup::blob;
use crate::setup::config;
use crate::setup::get;
use crate::setup::open;
use crate::setup::put;
use crate::setup::read;

/// What was logged.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<u8>>>);

impl Write for Journal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Journal {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Journal {
    /// The receipts since the last call, without their times.
    fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        let lines = String::from_utf8(bytes).unwrap();
        let receipts = lines
            .lines()
            .filter_map(|line| line.split_once("tidegate::ledger: "));
        receipts
            .map(|(_, text)| text.rsplit_once(" in ").unwrap().0.to_owned())
            .collect()
    }
}

#[tokio::test]
async fn every_exchange_is_in_the_books() {
    let journal = Journal::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(journal.clone())
        .finish();
    // One thread runs all of this test.
    let _guard = tracing::subscriber::set_default(subscriber);
    let tokens = TokenServer::builder().anonymous(&["*:*"]).start().await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    let cdn = Upstream::start().await;
    put(&upstream);
    let digest = upstream.put_generated_blob(REPOSITORY, 100_000, 1);
    cdn.put_generated_blob(REPOSITORY, 100_000, 1);
    let registry = open(config(&upstream.url()));

    upstream.fault(When::get("/manifests/").nth(2), Fault::status(503));
    get(&registry).await.unwrap();
    let wire = upstream.log().len() + tokens.log().len();
    let receipts = journal.take();
    assert_eq!(receipts.len(), wire, "{receipts:#?}");
    let of = |status: &str| {
        let wanted = format!(" {status} complete ");
        receipts
            .iter()
            .filter(|line| line.contains(&wanted))
            .count()
    };
    // The manifest refused, the token and the manifest, and in between a failure.
    assert_eq!(
        (of("401"), of("200"), of("503")),
        (1, 2, 1),
        "{receipts:#?}"
    );

    upstream.fault(When::get("/blobs/"), Fault::redirect_to_host(&cdn.url()));
    read(blob(&registry, &digest).await.unwrap()).await.unwrap();
    let line = format!("GET registry.test {REPOSITORY} {digest}");
    assert_eq!(
        journal.take(),
        [
            format!("{line} 307 complete 0 bytes"),
            format!("{line} 200 complete 100000 bytes")
        ]
    );

    drop(blob(&registry, &digest).await.unwrap());
    let receipts = journal.take();
    assert!(receipts[1].contains(" 200 cancelled "), "{receipts:#?}");
    assert_eq!(receipts.len(), 2);

    cdn.fault(When::any(), Fault::cut_after(50_000));
    read(blob(&registry, &digest).await.unwrap())
        .await
        .unwrap_err();
    let receipts = journal.take();
    assert!(
        receipts[1].ends_with(" 200 failed 50000 bytes"),
        "{receipts:#?}"
    );

    upstream.stop().await;
    registry.ping(FlowId::next()).await.unwrap_err();
    assert_eq!(
        journal.take(),
        vec!["GET registry.test 0 failed 0 bytes"; 3]
    );
}
