//! Read buffers that are used again: a fresh one would be zeroed, and often mapped, each time.
//!
//! While few are in use they are long, for speed. When many are, those that are taken next are
//! short, so that memory is bounded by what all hold together, not by how many they are.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// A long buffer's size, in bytes.
pub(super) const SIZE: usize = 128 << 10;
/// A short buffer's size, in bytes: a TLS record, or a frame of HTTP/2.
const SHORT: usize = 16 << 10;
/// How many long ones may be in use.
const LONG_ONES: usize = 32;
/// How many of each are kept for later.
const KEPT: usize = 16;

static LONG_POOL: Pool = Pool::new(SIZE);
static SHORT_POOL: Pool = Pool::new(SHORT);

/// Buffers of one size.
#[derive(Debug)]
struct Pool {
    size: usize,
    used: AtomicUsize,
    kept: Mutex<Vec<Box<[u8]>>>,
}

/// A buffer, which goes back to its pool when it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    pool: &'static Pool,
    memory: Box<[u8]>,
    filled: usize,
}

impl Pool {
    const fn new(size: usize) -> Self {
        Self {
            size,
            used: AtomicUsize::new(0),
            kept: Mutex::new(Vec::new()),
        }
    }

    fn take(&'static self) -> Buffer {
        self.used.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = kept.pop();
        drop(kept);
        Buffer {
            pool: self,
            memory: memory.unwrap_or_else(|| vec![0; self.size].into()),
            filled: 0,
        }
    }

    fn give_back(&self, memory: Box<[u8]>) {
        self.used.fetch_sub(1, Ordering::Relaxed);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(memory);
        }
    }
}

impl Buffer {
    /// A buffer of unknown content, as long as the number of those in use allows.
    pub(super) fn take() -> Self {
        // Several may pass at once: a few more long ones do no harm.
        let pool = match LONG_POOL.used.load(Ordering::Relaxed) {
            ..LONG_ONES => &LONG_POOL,
            _ => &SHORT_POOL,
        };
        pool.take()
    }

    /// Room for `bytes`, or all the room there is.
    pub(super) fn room(&mut self, bytes: u64) -> &mut [u8] {
        let size = self.memory.len();
        let end = usize::try_from(bytes).unwrap_or(size).min(size);
        &mut self.memory[..end]
    }

    /// The first `bytes` of it, to share. The buffer is used again when the last share is dropped.
    pub(super) fn filled(mut self, bytes: usize) -> Bytes {
        self.filled = bytes;
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_what_was_filled() {
        let mut buffer = Buffer::take();
        buffer.room(3).copy_from_slice(b"abc");
        assert_eq!(buffer.filled(2).as_ref(), b"ab");
    }

    #[test]
    fn those_taken_when_many_are_in_use_are_short() {
        let mut many: Vec<_> = (0..LONG_ONES + 10).map(|_| Buffer::take()).collect();
        let lengths: Vec<_> = many.iter_mut().map(|it| it.room(u64::MAX).len()).collect();
        assert_eq!((lengths[0], lengths[LONG_ONES + 9]), (SIZE, SHORT));
        let all: usize = lengths.iter().sum();
        assert!(all <= (LONG_ONES + 1) * SIZE + 10 * SHORT, "{all}");
        drop(many);
        assert_eq!(Buffer::take().room(u64::MAX).len(), SIZE);
    }
}
