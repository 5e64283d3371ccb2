//! A client that writes into a target, and whose books are checked when the test is over.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use fake_registry::PATIENCE;
use fake_registry::Random;
use futures_util::StreamExt as _;
use futures_util::stream;
use tidegate::ledger::Books;
use tidegate::ledger::Connection;
use tidegate::ledger::FlowId;
use tidegate::ledger::Ledger;
use tidegate::ledger::Leg;
use tidegate::ledger::Receipt;
use tidegate::ledger::Sink;
use tidegate::oci::Digest;
use tidegate::oci::Name;
use tidegate::registry::Config;
use tidegate::registry::Content;
use tidegate::registry::Error;
use tidegate::registry::Registry;
use tidegate::registry::Session;
use tidegate::registry::Started;
use tokio::sync::mpsc;

use crate::journal;
use crate::setup;
use crate::setup::name;

/// More than the client gathers before it sends, and more than all buffers on loopback hold.
pub(crate) const LARGE: usize = 24 << 20;

/// Receipts in their order, and how many connections have ended.
#[derive(Debug, Default)]
pub(crate) struct Receipts(Mutex<Vec<Receipt>>, AtomicUsize);

impl Sink for Receipts {
    fn exchange(&self, receipt: &Receipt) {
        self.0.lock().unwrap().push(receipt.clone());
    }

    fn connection(&self, _: &Connection) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) struct Rig {
    pub(crate) registry: Arc<Registry>,
    ledger: Ledger,
    receipts: Arc<Receipts>,
}

impl Rig {
    /// A client for the target at `url`.
    pub(crate) fn at(url: &str) -> Self {
        Self::with(url, |_| {})
    }

    pub(crate) fn with(url: &str, change: impl FnOnce(&mut Config)) -> Self {
        journal::begin();
        let mut config = setup::config(url);
        config.leg = Leg::Target;
        change(&mut config);
        let receipts = Arc::new(Receipts::default());
        let ledger = Ledger::with(vec![receipts.clone()]);
        let registry = Registry::new(config, ledger.clone()).unwrap();
        Self {
            registry: Arc::new(registry),
            ledger,
            receipts,
        }
    }

    /// A session in the repository of most tests.
    pub(crate) async fn start(&self) -> Session {
        self.start_in(&name()).await.unwrap()
    }

    pub(crate) async fn start_in(&self, name: &Name) -> Result<Session, Error> {
        match self
            .registry
            .upload_start(FlowId::next(), name, None)
            .await?
        {
            Started::Session(session) => Ok(session),
            Started::Mounted => panic!("it was no mount"),
        }
    }

    /// Uploads `bytes`, in chunks of an odd size.
    pub(crate) async fn upload(&self, bytes: &Bytes) -> Result<(), Error> {
        let session = self.start().await;
        self.send(session, &digest(bytes), content(bytes)).await
    }

    pub(crate) async fn send(
        &self,
        session: Session,
        digest: &Digest,
        content: Content,
    ) -> Result<(), Error> {
        let flow = FlowId::next();
        self.registry.upload(flow, session, digest, content).await
    }

    /// The receipts of writes: action, status, end, request bytes.
    pub(crate) fn receipts(&self) -> Vec<(&'static str, u16, &'static str, u64)> {
        let all = self.all_receipts();
        let writes = all.iter().filter(|it| it.leg == Leg::Target);
        let summary = |it: &Receipt| {
            let (action, end) = (it.action.as_str(), it.end.as_str());
            (action, it.status, end, it.request_bytes)
        };
        writes.map(summary).collect()
    }

    pub(crate) fn all_receipts(&self) -> Vec<Receipt> {
        self.receipts.0.lock().unwrap().clone()
    }

    /// Waits until a connection has ended on this side.
    pub(crate) async fn connection_ended(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.receipts.1.load(Ordering::SeqCst) == 0 {
            assert!(Instant::now() < deadline, "the connection is still there");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// What targets were sent: committed, and discarded by reason, where there is any. Once nothing
    /// is under way.
    pub(crate) async fn sent(&self) -> Vec<(&'static str, u64)> {
        let books = self.books().await;
        let wasted = books.target_discarded.iter();
        let wasted = wasted.map(|(reason, bytes)| (reason.as_str(), *bytes));
        let all = [("committed", books.target_committed)].into_iter();
        all.chain(wasted).filter(|(_, bytes)| *bytes > 0).collect()
    }

    async fn books(&self) -> Books {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let books = self.ledger.books();
            if books.open == 0 {
                return books;
            }
            assert!(Instant::now() < deadline, "it is never quiet: {books:#?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Checks the books: the end of each test.
    pub(crate) async fn check(self) {
        let books = self.books().await;
        assert_eq!(books.imbalance, 0, "{books:#?}");
        assert!(books.agree(), "{books:#?}");
        let receipts = self.all_receipts();
        let sum = |bytes: fn(&Receipt) -> u64| receipts.iter().map(bytes).sum::<u64>();
        assert_eq!(sum(|it| it.request_bytes), books.target_sent);
        assert_eq!(sum(|it| it.response_bytes), books.target_received);
    }
}

pub(crate) fn random(size: usize) -> Bytes {
    let mut random = Random::new(size as u64);
    let mut bytes = vec![0; size];
    random.fill(&mut bytes);
    bytes.into()
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest::of(bytes)
}

type Chunk = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// All of `bytes`, in chunks of an odd size.
pub(crate) fn content(bytes: &Bytes) -> Content {
    let size = bytes.len() as u64;
    let mut chunks = Vec::new();
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        chunks.push(Ok(rest.split_to(rest.len().min(100_001))));
    }
    Content {
        size,
        chunks: stream::iter(chunks).boxed(),
    }
}

/// A content of `size` bytes that comes as it is told to.
pub(crate) fn told(size: u64) -> (mpsc::UnboundedSender<Chunk>, Content) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let chunks = stream::poll_fn(move |cx| receiver.poll_recv(cx)).boxed();
    (sender, Content { size, chunks })
}
