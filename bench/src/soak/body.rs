//! Bodies as they come, held against what they must be.

use std::time::Duration;

use fake_registry::Content;
use fake_registry::DigestSink;
use fake_registry::Reply;

use super::tally::Outcome;
use super::tally::Tally;

/// How a client reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As fast as it comes.
    Fast,
    /// With a pause after each of the first so many chunks.
    Slow(u32),
    /// It leaves after so many bytes.
    Leaves(u64),
}

const PAUSE: Duration = Duration::from_millis(15);

/// What the proxy may answer while upstreams commit faults. What upstreams have is never "not
/// found", and what clients ask for is never wrong.
const FAULTS: [u16; 5] = [429, 500, 502, 503, 504];

/// A body that is about to come.
pub(crate) struct Incoming<'a> {
    pub(crate) reply: Reply,
    pub(crate) tally: &'a Tally,
    /// What it is, for a failure.
    pub(crate) what: String,
    pub(crate) pace: Pace,
}

impl Incoming<'_> {
    /// The outcome of an answer that is no 200 or 206.
    pub(crate) async fn refused(self) -> Outcome {
        let status = self.reply.status.as_u16();
        let said = self.reply.text().await.unwrap_or_default();
        if !FAULTS.contains(&status) {
            self.tally
                .fail(format!("{} was answered {status}: {said}", self.what));
        }
        Outcome::Refused(status)
    }

    /// Reads all, and holds its digest against `digest`.
    pub(crate) async fn whole(self, digest: &str, size: u64) -> Outcome {
        let (mut sink, tally, what) = (DigestSink::default(), self.tally, self.what.clone());
        let outcome = self.read(size, |_, chunk| sink.update(chunk)).await;
        let got = sink.finish();
        if outcome == Outcome::Right && got != digest {
            tally.fail(format!("{what} was completed with {got}"));
        }
        outcome
    }

    /// Reads the part of `content` that starts at `start`, and holds each byte against it.
    pub(crate) async fn part(self, content: &Content, start: u64, length: u64) -> Outcome {
        let (mut wrong, tally, what) = (None, self.tally, self.what.clone());
        let outcome = self.read(length, |at, chunk| {
            if wrong.is_none() && !is_at(content, start + at, chunk) {
                wrong = Some(start + at);
            }
        });
        let outcome = outcome.await;
        if let Some(at) = wrong {
            tally.fail(format!("{what} has a wrong byte at {at} or soon after"));
        }
        outcome
    }

    async fn read(mut self, length: u64, mut see: impl FnMut(u64, &[u8])) -> Outcome {
        let promised = self.reply.content_length();
        let (mut at, mut chunks) = (0, 0);
        loop {
            match self.reply.chunk().await {
                Ok(Some(chunk)) => {
                    see(at, &chunk);
                    at += chunk.len() as u64;
                    chunks += 1;
                    self.tally.received(chunk.len() as u64);
                }
                Ok(None) => break,
                Err(error) => return broken(self.tally, &self.what, &error.to_string()).await,
            }
            match self.pace {
                Pace::Leaves(after) if at >= after => return Outcome::Left,
                Pace::Slow(first) if chunks <= first => tokio::time::sleep(PAUSE).await,
                _ => {}
            }
        }
        if at != length || promised != Some(length) {
            let what = &self.what;
            self.tally.fail(format!(
                "{what} ended after {at} of {length} bytes ({promised:?} promised)"
            ));
        }
        Outcome::Right
    }
}

/// An exchange that broke off: that is no failure, but one that hangs is. Nobody comes back at once.
pub(crate) async fn broken(tally: &Tally, what: &str, error: &str) -> Outcome {
    if error.contains("nothing came for") {
        tally.fail(format!("{what} hangs: {error}"));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    Outcome::Broken
}

fn is_at(content: &Content, mut at: u64, mut chunk: &[u8]) -> bool {
    while !chunk.is_empty() {
        let expected = content.read(at, chunk.len() as u64);
        if expected.is_empty() || chunk[..expected.len()] != expected[..] {
            return false;
        }
        chunk = &chunk[expected.len()..];
        at += expected.len() as u64;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_byte_is_seen() {
        let content = Content::generated(400_000, 1);
        let mut part = [content.read(131_000, 1000), content.read(131_072, 5000)].concat();
        assert_eq!(part.len(), 72 + 5000);
        assert!(is_at(&content, 131_000, &part));
        assert!(!is_at(&content, 131_001, &part));
        part[5071] ^= 1;
        assert!(!is_at(&content, 131_000, &part));
        assert!(!is_at(&content, 399_999, &[0, 0]));
    }
}
