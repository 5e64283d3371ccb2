//! The record of every request that a scripted server got, and how each ended.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use http::HeaderMap;
use http::Method;
use http::StatusCode;
use http::Version;
use tokio::sync::watch;

/// How long a test waits for what must come, before it gives up.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Not yet: the answer is being made, sent or stalled.
    Open,
    /// The whole answer was handed to the connection.
    Complete,
    /// The client left, or a fault cut the answer off.
    Aborted,
}

/// One request, and its answer as far as it got.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The method.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The query, without its `?`; empty where there is none.
    pub query: String,
    /// The `Host` header, or HTTP/2's `:authority`.
    pub host: String,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// All request headers.
    pub headers: HeaderMap,
    /// The client's end of the connection: as many connections as there are different peers.
    pub peer: SocketAddr,
    /// The length of the request's body, in bytes.
    pub request_bytes: u64,
    /// The answer's status; `None` until there is an answer.
    pub status: Option<StatusCode>,
    /// Bytes of the answer's body that were handed to the connection. Of an aborted answer a part
    /// of them may have stayed in the server's socket buffers.
    pub body_bytes_sent: u64,
    /// How it ended.
    pub ended: Ended,
}

impl Recorded {
    /// A request header as text, where there is one.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether the path names `digest` (as a blob or as a manifest).
    pub fn names(&self, digest: &str) -> bool {
        self.path.ends_with(digest)
    }

    /// Whether this is a GET of the blob `digest`, whole or in part.
    pub fn is_get_of(&self, digest: &str) -> bool {
        self.method == Method::GET && self.names(digest)
    }

    /// One line for a person.
    pub fn line(&self) -> String {
        let mut line = format!("{} {}", self.method, self.path);
        if !self.query.is_empty() {
            let _ = write!(line, "?{}", self.query);
        }
        if let Some(range) = self.header("range") {
            let _ = write!(line, " [{range}]");
        }
        let status = self.status.map_or(0, |status| status.as_u16());
        let _ = write!(
            line,
            " -> {status} {} bytes {:?}",
            self.body_bytes_sent, self.ended
        );
        line
    }
}

/// The requests that a server got, in the order in which they came. Clones are the same log.
#[derive(Clone, Debug)]
pub struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    entries: Mutex<Vec<Entry>>,
    changed: watch::Sender<u64>,
}

/// One request's place in the log.
#[derive(Clone, Debug)]
pub(crate) struct Entry(Arc<Mutex<Recorded>>);

impl Log {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            entries: Mutex::default(),
            changed: watch::Sender::new(0),
        }))
    }

    pub(crate) fn add(&self, recorded: Recorded) -> Entry {
        let entry = Entry(Arc::new(Mutex::new(recorded)));
        lock(&self.0.entries).push(entry.clone());
        self.touch();
        entry
    }

    pub(crate) fn update(&self, entry: &Entry, change: impl FnOnce(&mut Recorded)) {
        change(&mut lock(&entry.0));
        self.touch();
    }

    fn touch(&self) {
        self.0.changed.send_modify(|version| *version += 1);
    }

    /// All requests until now.
    pub fn all(&self) -> Vec<Recorded> {
        lock(&self.0.entries).iter().map(Entry::get).collect()
    }

    /// Forgets all requests until now.
    pub fn clear(&self) {
        lock(&self.0.entries).clear();
        self.touch();
    }

    /// Takes out the requests that have ended, so that a long run's log stays short.
    pub fn take_ended(&self) -> Vec<Recorded> {
        let mut entries = lock(&self.0.entries);
        let all = std::mem::take(&mut *entries);
        let mut ended = Vec::new();
        for entry in all {
            let recorded = entry.get();
            if recorded.ended == Ended::Open {
                entries.push(entry);
            } else {
                ended.push(recorded);
            }
        }
        drop(entries);
        self.touch();
        ended
    }

    /// Waits until `enough` says so of the requests until then; looks again at each change.
    ///
    /// # Panics
    /// After `limit`, with the log.
    pub async fn wait_for(&self, limit: Duration, enough: impl Fn(&[Recorded]) -> bool) {
        let mut changed = self.0.changed.subscribe();
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            changed.borrow_and_update();
            let all = self.all();
            if enough(&all) {
                return;
            }
            if tokio::time::timeout_at(deadline, changed.changed())
                .await
                .is_err()
            {
                panic!("waited {limit:?} in vain; the log:\n{}", lines(&all));
            }
        }
    }
}

impl Entry {
    pub(crate) fn get(&self) -> Recorded {
        lock(&self.0).clone()
    }
}

/// A log as text, one request a line.
pub fn lines(log: &[Recorded]) -> String {
    log.iter().map(|recorded| recorded.line() + "\n").collect()
}

/// Locks, whatever a panicking test may have left behind.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
