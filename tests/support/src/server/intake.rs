//! What came of a request's body, or of all bodies of an upload.

use bytes::Bytes;

use crate::content::Content;
use crate::digest::DigestSink;

/// Bytes in the order in which they came: hashed, and kept unless that is not wanted.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    sink: DigestSink,
    length: u64,
    /// `None` where they are only hashed.
    kept: Option<Vec<Bytes>>,
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            sink: DigestSink::default(),
            length: 0,
            kept: Some(Vec::new()),
        }
    }
}

impl Intake {
    /// Keeps nothing but digest and length.
    pub(crate) fn only_hashed() -> Self {
        Self {
            kept: None,
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, bytes: Bytes) {
        self.sink.update(&bytes);
        self.length += bytes.len() as u64;
        if let Some(kept) = &mut self.kept {
            kept.push(bytes);
        }
    }

    /// In bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// `sha256:<hex>`.
    pub(crate) fn digest(&self) -> String {
        self.sink.clone().finish()
    }

    /// What was kept, in one piece.
    pub(crate) fn bytes(&self) -> Bytes {
        match self.kept.as_deref() {
            None => Bytes::new(),
            Some([one]) => one.clone(),
            Some(pieces) => pieces.concat().into(),
        }
    }

    /// As content of a blob: where it was only hashed, other bytes of the same length.
    pub(crate) fn content(&self) -> Content {
        match self.kept {
            Some(_) => Content::Memory(self.bytes()),
            None => Content::generated(self.length, 0),
        }
    }
}
