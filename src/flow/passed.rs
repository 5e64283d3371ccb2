use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream;
use futures_util::stream::Stream;
use http_body::{Body, Frame, SizeHint};

use super::Error;
use super::growing::Growing;
use super::supplier::ENDED;
use super::supplier::Resumes;
use super::supplier::Supplier;
use super::turns::Attending;
use crate::ledger::Account;
use crate::ledger::Fate;
use crate::ledger::Reason;
use crate::oci::Hasher;
use crate::registry;
use crate::registry::FetchedBlob;
use crate::store::Store;

/// A body straight from the upstream, unstored: a part of a blob, or a whole one that the store
/// does not take. It is resumed where the connection breaks. Where all before its end is known, the
/// whole is hashed, and the last chunk is given only where the digest is right; of another part,
/// nobody here can tell.
pub struct Passed {
    chunks: Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>,
    left: u64,
    attending: Option<Attending>,
}

impl Passed {
    /// `part` of a blob of `size` bytes, which `fetched` begins to bring, where it is there.
    pub(super) fn new(
        supplier: Supplier,
        fetched: Option<FetchedBlob>,
        part: Range<u64>,
        size: u64,
    ) -> Self {
        // A registry that ignores ranges brings what comes before as well.
        let from = match &fetched {
            Some(fetched) if fetched.offset == 0 => 0,
            _ => part.start,
        };
        let check = match from == 0 && part.end == size {
            true => Check::Running(Hasher::new(supplier.digest.algorithm())),
            false => Check::None,
        };
        let mut transfer = Transfer::new(supplier, part, size);
        (transfer.from, transfer.begun) = (from, from);
        transfer.body = fetched.map(|fetched| Incoming::from(fetched, from));
        Self::of(transfer, check)
    }

    /// `part` of a blob, of which all that came before is in a file that takes no more.
    pub(super) fn rest(supplier: Supplier, growing: Arc<Growing>, part: Range<u64>) -> Self {
        let size = growing.size();
        let check = match part.end == size {
            true => Check::Behind(growing),
            false => Check::None,
        };
        Self::of(Transfer::new(supplier, part, size), check)
    }

    fn of(mut transfer: Transfer, check: Check) -> Self {
        let left = transfer.end - transfer.at;
        transfer.check = check;
        let next = |mut transfer: Transfer| async move {
            let chunk = transfer.next().await?;
            Ok(chunk.map(|chunk| (chunk, transfer)))
        };
        Self {
            chunks: Box::pin(stream::try_unfold(transfer, next)),
            left,
            attending: None,
        }
    }

    /// As long as this lasts, a client waits.
    pub(super) fn attended(&mut self, attending: Attending) {
        self.attending = Some(attending);
    }

    /// The next bytes; `None` at the end.
    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let chunk = ready!(self.chunks.as_mut().poll_next(cx));
        if let Some(Ok(chunk)) = &chunk {
            self.left -= chunk.len() as u64;
        }
        Poll::Ready(chunk)
    }
}

/// One pass over a part of a blob, by as many requests as it takes.
struct Transfer {
    supplier: Supplier,
    /// The next byte that is wanted, and the end of what is (excluded).
    at: u64,
    end: u64,
    /// The whole blob's length, in bytes.
    size: u64,
    /// The next byte that comes; lower than `at` while bytes are read that are only hashed.
    from: u64,
    check: Check,
    body: Option<Incoming>,
    /// Where the last request began.
    begun: u64,
    resumes: Resumes,
}

/// A body, and how many bytes of it come before those that were asked for.
struct Incoming {
    body: registry::Body,
    skip: u64,
}

/// How the digest is checked.
enum Check {
    /// Not at all.
    None,
    /// All before `from` is hashed.
    Running(Hasher),
    /// All before the first byte is to be hashed from what is there of the blob.
    Behind(Arc<Growing>),
}

impl Transfer {
    fn new(supplier: Supplier, part: Range<u64>, size: u64) -> Self {
        let at = part.start;
        Self {
            supplier,
            at,
            end: part.end,
            size,
            from: at,
            check: Check::None,
            body: None,
            begun: at,
            resumes: Resumes::default(),
        }
    }

    /// The next bytes that are wanted; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if let Check::Behind(growing) = &self.check {
            let growing = growing.clone();
            self.look_back(growing).await;
        }
        while self.at < self.end {
            match self.step().await {
                Ok(chunk) if chunk.is_empty() => {}
                Ok(chunk) => return Ok(Some(chunk)),
                Err(error) => {
                    self.body = None;
                    let way = (self.begun, self.from);
                    let resumed = self.supplier.resume(&mut self.resumes, way, error).await;
                    resumed.inspect_err(|error| self.supplier.count(error))?;
                    self.begun = self.from;
                }
            }
        }
        Ok(None)
    }

    /// Hashes what came before, from the file. Where the file can't be read any more, all comes
    /// from the upstream once more. Where the file has not all of it, nobody can tell.
    async fn look_back(&mut self, growing: Arc<Growing>) {
        let (at, algorithm) = (self.at, self.supplier.digest.algorithm());
        let hashed = tokio::task::spawn_blocking(move || growing.hashed(at, algorithm)).await;
        self.check = match hashed {
            Ok(Ok(Some(hasher))) => Check::Running(hasher),
            Ok(Ok(None)) => Check::None,
            Ok(Err(_)) | Err(_) => {
                (self.from, self.begun) = (0, 0);
                Check::Running(Hasher::new(algorithm))
            }
        };
    }

    /// Takes what comes next: the wanted bytes of it, often none.
    async fn step(&mut self) -> Result<Bytes, Error> {
        let mut incoming = match self.body.take() {
            Some(incoming) => incoming,
            None => {
                let part = self.from..self.end;
                let place = self.resumes.place();
                let fetched = self.supplier.open(part, self.size, place).await?;
                Incoming::from(fetched, self.from)
            }
        };
        let mut chunk = match incoming.body.chunk().await {
            Some(Ok(chunk)) => chunk,
            Some(Err(error)) => return Err(self.supplier.error(error)),
            None => {
                let ended = registry::Error::Unreachable(ENDED.into());
                return Err(self.supplier.error(ended));
            }
        };
        let came = chunk.len();
        let skipped = cut(&mut chunk, incoming.skip);
        incoming.skip -= skipped;
        // A registry that ignores ranges sends more than is wanted.
        let room = usize::try_from(self.end - self.from).unwrap_or(usize::MAX);
        chunk.truncate(room);
        let surplus = (came - chunk.len()) as u64 - skipped;
        let account = incoming.body.account();
        account.discard(Reason::Skipped, skipped);
        account.discard(Reason::Surplus, surplus);
        let taken = self.take(chunk, account)?;
        self.body = Some(incoming);
        Ok(taken)
    }

    fn take(&mut self, mut chunk: Bytes, account: &Account) -> Result<Bytes, Error> {
        let old = self.at - self.from;
        self.from += chunk.len() as u64;
        if let Check::Running(hasher) = &mut self.check {
            hasher.update(&chunk);
            if self.from == self.end {
                let got = hasher.clone().finish();
                if got != self.supplier.digest {
                    self.supplier.blame();
                    account.discard(Reason::Mismatch, chunk.len() as u64);
                    return Err(self.supplier.corrupt(&got));
                }
            }
        }
        account.discard(Reason::Skipped, cut(&mut chunk, old));
        account.enter(Fate::Passed, chunk.len() as u64);
        self.at += chunk.len() as u64;
        Ok(chunk)
    }
}

impl Incoming {
    /// An answer to who asked for all from `at` on.
    fn from(fetched: FetchedBlob, at: u64) -> Self {
        Self {
            skip: at.saturating_sub(fetched.offset),
            body: fetched.body,
        }
    }
}

/// Takes up to `bytes` off the front; how many those were.
fn cut(chunk: &mut Bytes, bytes: u64) -> u64 {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let cut = chunk.split_to(bytes.min(chunk.len()));
    cut.len() as u64
}

/// How long a blob is that the upstream doesn't say the length of: all of `fetched` is read, and
/// nothing is kept. For a store that takes nothing, as a header must promise a length.
///
/// # Errors
/// When it breaks off, is longer than `most` bytes, or is not what its digest says.
pub(super) async fn measured(
    supplier: &Supplier,
    fetched: FetchedBlob,
    most: u64,
) -> Result<u64, Error> {
    let mut hasher = Hasher::new(supplier.digest.algorithm());
    let (mut body, mut size) = (fetched.body, 0);
    while let Some(chunk) = body.chunk().await {
        let chunk = chunk.map_err(|error| supplier.error(error))?;
        body.account().discard(Reason::Measured, chunk.len() as u64);
        hasher.update(&chunk);
        size += chunk.len() as u64;
        if size > most {
            return Err(supplier.error(registry::Error::Wrong(ENDLESS.into())));
        }
    }
    let got = hasher.finish();
    if got == supplier.digest {
        Ok(size)
    } else {
        Err(supplier.corrupt(&got))
    }
}

/// How long a blob may be whose length the upstream doesn't say, in bytes: no longer than what may
/// be stored at all, nor than any that is seen in the wild.
pub(super) fn longest_unknown(store: &Store) -> u64 {
    store.max_size().unwrap_or(u64::MAX).min(UNKNOWN)
}

const UNKNOWN: u64 = 16 << 30;
/// Why a longer one is not waited for.
pub(super) const ENDLESS: &str = "it does not say how long the blob is, and does not end";

impl Body for Passed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let chunk = ready!(self.get_mut().poll_chunk(cx));
        Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl fmt::Debug for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passed {{ left: {} }}", self.left)
    }
}
