//! Read buffers that are used again: a fresh one would be zeroed, and often mapped, each time.

use std::sync::Mutex;
use std::sync::PoisonError;

use bytes::Bytes;

/// A buffer's size, in bytes.
pub(super) const SIZE: usize = 128 << 10;
/// How many buffers are kept for later.
const KEPT: usize = 32;

static POOL: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// A buffer of [`SIZE`] bytes, which goes back to the pool when it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    memory: Box<[u8]>,
    filled: usize,
}

impl Buffer {
    /// A buffer of unknown content.
    pub(super) fn take() -> Self {
        let kept = POOL.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self {
            memory: kept.unwrap_or_else(|| vec![0; SIZE].into()),
            filled: 0,
        }
    }

    /// Room for `bytes`, or all the room there is.
    pub(super) fn room(&mut self, bytes: u64) -> &mut [u8] {
        let end = usize::try_from(bytes).unwrap_or(SIZE).min(SIZE);
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
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < KEPT {
            pool.push(std::mem::take(&mut self.memory));
        }
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
        assert_eq!(Buffer::take().room(u64::MAX).len(), SIZE);
    }
}
