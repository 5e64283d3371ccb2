use std::collections::HashMap;
use std::collections::HashSet;

use sha2::Digest as _;
use sha2::Sha256;

use crate::ledger::Action;
use crate::ledger::Receipt;

/// What stands for a digest.
pub(in crate::report) type Key = u128;

/// `GET`s of blobs that were answered with content.
///
/// A redirect's target is a blob unless the redirect was a manifest's. Which one it was may come
/// later in a journal than the target's own record, so both are kept until the end is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::report) struct Blobs {
    /// Of what has no digest that could be read.
    unnamed: Gets,
    direct: HashMap<Key, Gets>,
    redirected: HashMap<Key, Gets>,
    manifests: HashSet<Key>,
}

/// `GET`s of one blob.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Gets {
    gets: u64,
    bytes: u64,
    whole: u32,
    whole_bytes: u64,
    largest: u64,
}

/// What the `GET`s of all blobs make together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::report) struct Totals {
    /// `GET`s answered with content.
    pub(in crate::report) gets: u64,
    /// Their body bytes.
    pub(in crate::report) bytes: u64,
    /// Whole-blob `GET`s of a digest beyond its first.
    pub(in crate::report) duplicates: u64,
    /// The body bytes of a digest's whole-blob `GET`s, less those of the largest one.
    pub(in crate::report) duplicate_bytes: u64,
}

/// The key of a digest; `None` for a tag. It is a hash, as nobody has checked the digest.
pub(in crate::report) fn key(reference: &str) -> Option<Key> {
    reference.contains(':').then(|| {
        let hash: [u8; 32] = Sha256::digest(reference).into();
        let (bytes, _) = hash.split_first_chunk().unwrap_or((&[0; 16], &[]));
        Key::from_be_bytes(*bytes)
    })
}

/// Whether it is a `GET` that was answered with content: a 200, or a 206 to a range.
pub(in crate::report) fn has_content(receipt: &Receipt) -> bool {
    receipt.method == http::Method::GET && matches!(receipt.status, 200 | 206)
}

impl Blobs {
    pub(super) fn exchange(&mut self, receipt: &Receipt) {
        let is_redirect = matches!(receipt.status, 300..=399) && receipt.status != 304;
        let key = || key(&receipt.reference);
        match receipt.action {
            Action::ManifestGet | Action::ManifestHead if is_redirect => {
                self.manifests.extend(key());
            }
            Action::BlobGet if has_content(receipt) => match key() {
                Some(key) => self.direct.entry(key).or_default().add(receipt),
                None => self.unnamed.add(receipt),
            },
            Action::Redirect if has_content(receipt) => {
                // A tag is a manifest's.
                if let Some(key) = key() {
                    self.redirected.entry(key).or_default().add(receipt);
                }
            }
            _ => {}
        }
    }

    /// Whether a redirect's target with this digest is a manifest.
    pub(in crate::report) fn is_manifest(&self, key: Key) -> bool {
        self.manifests.contains(&key)
    }

    /// All of them together.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals {
            gets: self.unnamed.gets,
            bytes: self.unnamed.bytes,
            ..Totals::default()
        };
        let is_blob = |key: &Key| !self.manifests.contains(key);
        for (key, gets) in &self.direct {
            let redirected = self.redirected.get(key).filter(|_| is_blob(key));
            totals.add(&redirected.map_or(*gets, |more| gets.and(more)));
        }
        for (key, gets) in &self.redirected {
            if is_blob(key) && !self.direct.contains_key(key) {
                totals.add(gets);
            }
        }
        totals
    }
}

impl Gets {
    fn add(&mut self, receipt: &Receipt) {
        let bytes = receipt.response_bytes;
        let is_whole = receipt.status == 200;
        *self = self.and(&Self {
            gets: 1,
            bytes,
            whole: is_whole.into(),
            whole_bytes: if is_whole { bytes } else { 0 },
            largest: if is_whole { bytes } else { 0 },
        });
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            gets: self.gets + other.gets,
            bytes: self.bytes.saturating_add(other.bytes),
            whole: self.whole.saturating_add(other.whole),
            whole_bytes: self.whole_bytes.saturating_add(other.whole_bytes),
            largest: self.largest.max(other.largest),
        }
    }
}

impl Totals {
    fn add(&mut self, gets: &Gets) {
        self.gets += gets.gets;
        self.bytes = self.bytes.saturating_add(gets.bytes);
        self.duplicates += u64::from(gets.whole.saturating_sub(1));
        let beyond = gets.whole_bytes - gets.largest;
        self.duplicate_bytes = self.duplicate_bytes.saturating_add(beyond);
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            gets: self.gets + other.gets,
            bytes: self.bytes.saturating_add(other.bytes),
            duplicates: self.duplicates + other.duplicates,
            duplicate_bytes: self.duplicate_bytes.saturating_add(other.duplicate_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn digests_have_keys_and_tags_have_none() {
        assert_eq!(key("sha256:ab"), key("sha256:ab"));
        assert_ne!(key("sha256:ab"), key("sha256:ac"));
        assert_ne!(key("sha256:ab"), key("sha512:ab"));
        assert_eq!(key("latest"), None);
        assert_eq!(key(""), None);
    }
}
