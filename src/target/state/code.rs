//! How entries are written down: keys that sort by what is looked up, and short values.

use std::fmt::Write as _;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use crate::oci::Algorithm;
use crate::oci::Digest;

/// A digest takes its bytes, and one before them for its algorithm.
pub(super) fn put_digest(bytes: &mut Vec<u8>, digest: &Digest) {
    bytes.push(match digest.algorithm() {
        Algorithm::Sha256 => SHA256,
        Algorithm::Sha512 => SHA512,
    });
    let hex = digest.hex().as_bytes().chunks_exact(2);
    bytes.extend(hex.map(|pair| (nibble(pair[0]) << 4) | nibble(pair[1])));
}

const SHA256: u8 = 1;
const SHA512: u8 = 2;

fn nibble(hex: u8) -> u8 {
    match hex {
        b'0'..=b'9' => hex - b'0',
        _ => hex - b'a' + 10,
    }
}

/// The digest that `bytes` begin with, and what follows.
pub(super) fn take_digest(bytes: &[u8]) -> Option<(Digest, &[u8])> {
    let (algorithm, rest) = bytes.split_first()?;
    let (name, length) = match *algorithm {
        SHA256 => ("sha256", 32),
        SHA512 => ("sha512", 64),
        _ => return None,
    };
    let (own, rest) = rest.split_at_checked(length)?;
    let mut text = format!("{name}:");
    for byte in own {
        let _ = write!(text, "{byte:02x}");
    }
    Some((text.parse().ok()?, rest))
}

/// `texts` with a zero behind each, which none of them can have.
pub(super) fn put_texts(bytes: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        bytes.extend(text.as_bytes());
        bytes.push(0);
    }
}

/// The text that `bytes` begin with, up to a zero, and what follows that.
pub(super) fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

/// The number that `bytes` begin with, and what follows.
pub(super) fn take_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

/// A time in milliseconds.
pub(super) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The time of [`milliseconds`]; of what can't be a time, 1970.
pub(super) fn time(milliseconds: u64) -> SystemTime {
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds));
    time.unwrap_or(UNIX_EPOCH)
}

/// A time in whole seconds, which will do until 2106.
pub(super) fn seconds(time: SystemTime) -> u32 {
    u32::try_from(milliseconds(time) / 1000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Hasher;

    #[test]
    fn what_is_written_can_be_read() {
        let mut long = Hasher::new(Algorithm::Sha512);
        long.update(b"x");
        for digest in [Digest::of(b"x"), long.finish()] {
            let mut bytes = Vec::new();
            put_digest(&mut bytes, &digest);
            put_texts(&mut bytes, &["a/b", ""]);
            bytes.extend(7_u64.to_be_bytes());
            let (read, rest) = take_digest(&bytes).unwrap();
            assert_eq!(read, digest);
            let (text, rest) = take_text(rest).unwrap();
            assert_eq!(text, "a/b");
            let (text, rest) = take_text(rest).unwrap();
            assert_eq!((text, take_number(rest)), ("", Some((7, &[][..]))));
        }
    }

    #[test]
    fn what_is_damaged_is_nothing() {
        assert_eq!(take_digest(&[]), None);
        assert_eq!(take_digest(&[9; 40]), None);
        assert_eq!(take_digest(&[SHA256; 32]), None);
        assert_eq!(take_text(b"abc"), None);
        assert_eq!(take_text(&[0xff, 0]), None);
        assert_eq!(take_number(&[0; 7]), None);
        assert_eq!(
            time(u64::MAX),
            UNIX_EPOCH
                .checked_add(Duration::from_millis(u64::MAX))
                .unwrap_or(UNIX_EPOCH)
        );
    }
}
