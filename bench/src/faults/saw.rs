//! What a client sees of a pull: read to its end, held against the true content.

use std::fmt;
use std::time::Duration;

use fake_registry::Content;
use fake_registry::Reply;
use fake_registry::RequestBuilder;

/// How long a client waits for a header, and for each next part of a body.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client saw.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Saw {
    /// All bytes, and they are right.
    Whole,
    /// An answer that was complete for an HTTP client, of so many bytes, which are not the
    /// content.
    False(u64),
    /// An answer that broke off after so many right bytes, and then so many from the first wrong
    /// one on.
    Broken(u64, u64),
    /// So many bytes, and then nothing.
    Stuck(u64),
    /// Another status.
    Status(u16, Option<String>),
    /// No answer.
    Silence,
    /// No connection, or one that ended before an answer's header.
    Refused,
}

impl Saw {
    /// Sends a request, and reads what `expected` is the right answer's content.
    pub(super) async fn of(request: RequestBuilder, expected: &Content) -> Self {
        let reply = match tokio::time::timeout(PATIENCE, request.send()).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => return Self::Refused,
            Err(_) => return Self::Silence,
        };
        let status = reply.status.as_u16();
        if !matches!(status, 200 | 206) {
            let pause = reply.header("retry-after").map(ToOwned::to_owned);
            return Self::Status(status, pause);
        }
        Self::body(reply, expected).await
    }

    async fn body(mut reply: Reply, expected: &Content) -> Self {
        let (mut right, mut other) = (0, 0);
        loop {
            match tokio::time::timeout(PATIENCE, reply.chunk()).await {
                Err(_) => return Self::Stuck(right + other),
                Ok(Err(_)) => return Self::Broken(right, other),
                Ok(Ok(None)) if other == 0 && right == expected.len() => return Self::Whole,
                Ok(Ok(None)) => return Self::False(right + other),
                Ok(Ok(Some(chunk))) => {
                    let same = if other == 0 {
                        same(&chunk, expected, right)
                    } else {
                        0
                    };
                    right += same;
                    other += chunk.len() as u64 - same;
                }
            }
        }
    }
}

/// How many bytes of `chunk` are those of the content from `at` on.
fn same(chunk: &[u8], content: &Content, at: u64) -> u64 {
    let mut same = 0;
    while same < chunk.len() {
        let rest = &chunk[same..];
        let true_ones = content.read(at + same as u64, rest.len() as u64);
        let equal = rest.iter().zip(&true_ones).take_while(|(a, b)| a == b);
        let equal = equal.count();
        same += equal;
        if equal == 0 || equal < true_ones.len() {
            break;
        }
    }
    same as u64
}

impl fmt::Display for Saw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => write!(f, "all bytes, right"),
            Self::False(bytes) => {
                write!(
                    f,
                    "a complete answer of {} that is not the blob",
                    Bytes(*bytes)
                )
            }
            Self::Broken(right, 0) => write!(f, "broken off after {}", Bytes(*right)),
            Self::Broken(right, other) => write!(
                f,
                "broken off after {}, and {} from the first wrong byte on",
                Bytes(*right),
                Bytes(*other)
            ),
            Self::Stuck(bytes) => {
                write!(f, "{}, then nothing for {PATIENCE:?}", Bytes(*bytes))
            }
            Self::Status(status, None) => write!(f, "{status}"),
            Self::Status(status, Some(pause)) => write!(f, "{status} with Retry-After {pause}"),
            Self::Silence => write!(f, "no answer for {PATIENCE:?}"),
            Self::Refused => write!(f, "no connection"),
        }
    }
}

/// A number of bytes, for people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            few @ ..10_000 => write!(f, "{few} B"),
            some @ ..1_000_000 => write!(f, "{} KB", some / 1000),
            many => write!(f, "{:.1} MB", many as f64 / 1e6),
        }
    }
}
