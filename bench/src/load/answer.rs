//! Just enough of HTTP/1.1 (RFC 9112) to read the answers of a well-behaved server.

use anyhow::Context;

/// The head of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// How long the head itself is, in bytes.
    pub(crate) length: usize,
    /// The status.
    pub(crate) status: u16,
    /// `Content-Length`.
    pub(crate) content_length: u64,
}

impl Head {
    /// Reads the head at the start of `bytes`; `None` where its end has not come yet.
    ///
    /// # Errors
    /// When it is no head, or says no length.
    pub(crate) fn parse(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&bytes[..at]).context("an answer's head is no text")?;
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|word| word.parse().ok())
            .context("an answer has no status")?;
        let content_length = lines
            .find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().ok())?
            })
            .with_context(|| format!("an answer has no Content-Length:\n{text}"))?;
        Ok(Some(Self {
            length: at + 4,
            status,
            content_length,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 12\r\nX: y\r\n\r\nbody";
        assert!(Head::parse(&text[..40]).unwrap().is_none());
        let head = Head::parse(text).unwrap().unwrap();
        assert_eq!((head.status, head.content_length), (200, 12));
        assert_eq!(&text[head.length..], b"body");
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n").is_err());
    }
}
