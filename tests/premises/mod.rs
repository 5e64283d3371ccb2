//! Where a proxy runs in this process, and whose books are checked when it is over.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate::ledger::Books;
use tidegate::ledger::Connection;
use tidegate::ledger::Ledger;
use tidegate::ledger::Leg;
use tidegate::ledger::Receipt;
use tidegate::ledger::Sink;
use tokio::runtime::Runtime;

/// A runtime of its own for a proxy, and the ledger that its parts are to be given.
///
/// A drop ends all that runs here, so that every account is closed, and fails the test where the
/// books do not balance, or are not what the receipts say.
pub(crate) struct Premises {
    runtime: Option<Runtime>,
    ledger: Ledger,
    receipts: Arc<Receipts>,
}

/// The body bytes of all receipts.
#[derive(Debug, Default)]
struct Receipts {
    upstream: AtomicU64,
    client: AtomicU64,
    target: AtomicU64,
    /// The bodies of requests to targets.
    sent: AtomicU64,
}

impl Sink for Receipts {
    fn exchange(&self, receipt: &Receipt) {
        let sum = match receipt.leg {
            Leg::Upstream => &self.upstream,
            Leg::Client => &self.client,
            Leg::Target => {
                self.sent.fetch_add(receipt.request_bytes, Ordering::SeqCst);
                &self.target
            }
            other => panic!("a receipt of leg {other}"),
        };
        sum.fetch_add(receipt.response_bytes, Ordering::SeqCst);
    }

    fn connection(&self, _: &Connection) {}
}

/// How long work that blocks may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

impl Premises {
    #[allow(dead_code, reason = "not all who have premises are content with them")]
    pub(crate) fn new() -> Self {
        Self::with(Vec::new())
    }

    /// Premises whose ledger tells `others` too.
    pub(crate) fn with(others: Vec<Arc<dyn Sink>>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let receipts = Arc::new(Receipts::default());
        Self {
            runtime: Some(runtime),
            ledger: Ledger::with(others.into_iter().chain([receipts.clone() as _]).collect()),
            receipts,
        }
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is there until the drop")
    }

    /// The outcome of `work`, which is done here, as is all that it begins.
    #[allow(dead_code, reason = "not all who have premises are in another runtime")]
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.runtime().spawn(work).await.expect("it did not panic")
    }

    fn check(&self) {
        let books = self.ledger.books();
        let receipts = &self.receipts;
        assert_eq!(
            (books.imbalance, books.open, books.held),
            (0, 0, 0),
            "{books:#?}"
        );
        assert!(books.agree(), "{books:#?}");
        let receipts = [
            &receipts.upstream,
            &receipts.client,
            &receipts.target,
            &receipts.sent,
        ];
        let receipts = receipts.map(|sum| sum.load(Ordering::SeqCst));
        assert_eq!(
            receipts,
            [
                books.upstream_received,
                books.client_sent,
                books.target_received,
                books.target_sent
            ],
            "{books:#?}"
        );
    }

    /// The books once nothing is under way.
    #[allow(dead_code, reason = "not all who have premises ask")]
    pub(crate) async fn books(&self) -> Books {
        let quiet = async {
            loop {
                let books = self.ledger.books();
                if books.open == 0 {
                    return books;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let books = tokio::time::timeout(PATIENCE, quiet).await;
        books.unwrap_or_else(|_| panic!("it is never quiet: {:#?}", self.ledger.books()))
    }
}

impl Drop for Premises {
    fn drop(&mut self) {
        let runtime = self.runtime.take();
        // A runtime can't be waited for within another one.
        let ended = std::thread::spawn(move || {
            runtime
                .into_iter()
                .for_each(|it| it.shutdown_timeout(PATIENCE));
        });
        let ended = ended.join();
        if !std::thread::panicking() {
            ended.expect("the runtime ended");
            self.check();
        }
    }
}
