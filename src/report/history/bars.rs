use std::cmp::Reverse;
use std::sync::Arc;

use crate::ledger::Action;
use crate::ledger::End;
use crate::ledger::Leg;
use crate::ledger::Origin;
use crate::ledger::Receipt;
use crate::report::summary::Key;
use crate::report::summary::has_content;
use crate::report::summary::key;

/// As many of the longest, and as many of the largest, are kept.
const MOST: usize = 120;

/// A blob that moved, as one exchange saw it.
#[derive(Clone, Debug)]
pub(in crate::report) struct Bar {
    /// How.
    pub(in crate::report) kind: Kind,
    /// When it began, in µs since 1970.
    pub(in crate::report) start: u64,
    /// How long it took, in µs.
    pub(in crate::report) length: u64,
    /// Body bytes that crossed.
    pub(in crate::report) bytes: u64,
    /// The repository's name.
    pub(in crate::report) repository: Arc<str>,
    /// The digest, where it is known.
    pub(in crate::report) reference: Arc<str>,
    /// Who was asked; for a client's, the client.
    pub(in crate::report) host: Arc<str>,
    /// How it ended.
    pub(in crate::report) end: End,
    /// The digest of a redirect's target, which may be a manifest after all.
    pub(in crate::report) doubtful: Option<Key>,
    number: u64,
}

/// How a blob moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum Kind {
    /// To a client, from the store.
    Hit,
    /// To a client, from a fill that was under way.
    Joined,
    /// To a client, from a fill of its own.
    Filled,
    /// To a client, from the store, unconfirmed.
    Stale,
    /// To a client, unstored; also where the origin is unknown.
    Bypassed,
    /// From a registry.
    Download,
    /// To a registry.
    Upload,
    /// Within a registry.
    Mount,
}

impl Kind {
    /// All of them, in the order in which they are listed.
    pub(in crate::report) const ALL: [Self; 8] = [
        Self::Hit,
        Self::Joined,
        Self::Filled,
        Self::Stale,
        Self::Bypassed,
        Self::Download,
        Self::Upload,
        Self::Mount,
    ];

    /// For people.
    pub(in crate::report) fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Joined => "joined",
            Self::Filled => "filled",
            Self::Stale => "stale",
            Self::Bypassed => "bypassed",
            Self::Download => "download",
            Self::Upload => "upload",
            Self::Mount => "mount",
        }
    }

    fn of(receipt: &Receipt) -> Option<Self> {
        let is_read = matches!(receipt.action, Action::BlobGet | Action::Redirect);
        if is_read && has_content(receipt) {
            return Some(match (receipt.leg, receipt.origin) {
                (Leg::Client, Some(Origin::Hit)) => Self::Hit,
                (Leg::Client, Some(Origin::Joined)) => Self::Joined,
                (Leg::Client, Some(Origin::Filled)) => Self::Filled,
                (Leg::Client, Some(Origin::Stale)) => Self::Stale,
                (Leg::Client, _) => Self::Bypassed,
                _ => Self::Download,
            });
        }
        let is_mount = receipt.mount.is_some() || receipt.action == Action::BlobMount;
        let uploads = [
            Action::BlobMount,
            Action::UploadStart,
            Action::UploadChunk,
            Action::UploadFinish,
        ];
        if is_mount && receipt.status == 201 {
            Some(Self::Mount)
        } else if uploads.contains(&receipt.action) && receipt.request_bytes > 0 {
            Some(Self::Upload)
        } else {
            None
        }
    }
}

/// The blobs of one leg: the longest and the largest ones, and how many there were.
#[derive(Clone, Debug, Default)]
pub(in crate::report) struct Bars {
    counts: [u64; Kind::ALL.len()],
    number: u64,
    longest: Top,
    largest: Top,
}

/// Those that score highest.
#[derive(Clone, Debug, Default)]
struct Top {
    bars: Vec<(u64, Bar)>,
    least: u64,
}

impl Bars {
    pub(super) fn exchange(&mut self, receipt: &Receipt, (start, end): (u64, u64)) {
        let Some(kind) = Kind::of(receipt) else {
            return;
        };
        let doubtful = match receipt.action {
            Action::Redirect => match key(&receipt.reference) {
                Some(key) => Some(key),
                // A tag is a manifest's.
                None => return,
            },
            _ => None,
        };
        self.number += 1;
        self.counts[kind as usize] += 1;
        let bytes = match kind {
            Kind::Upload | Kind::Mount => receipt.request_bytes,
            _ => receipt.response_bytes,
        };
        let length = end - start;
        if length < self.longest.least && bytes < self.largest.least {
            return;
        }
        let bar = Bar {
            kind,
            start,
            length,
            bytes,
            repository: receipt.repository.clone(),
            reference: receipt.reference.clone(),
            host: receipt.host.clone(),
            end: receipt.end,
            doubtful,
            number: self.number,
        };
        self.longest.add(length, &bar);
        self.largest.add(bytes, &bar);
    }

    /// How many there were of each kind, in the order of [`Kind::ALL`].
    pub(in crate::report) fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Those that are kept, by when they began.
    pub(in crate::report) fn kept(&self) -> Vec<&Bar> {
        let mut kept: Vec<&Bar> = self.longest.iter().chain(self.largest.iter()).collect();
        kept.sort_by_key(|bar| (bar.start, bar.number));
        kept.dedup_by_key(|bar| bar.number);
        kept
    }
}

impl Top {
    fn add(&mut self, score: u64, bar: &Bar) {
        if score < self.least {
            return;
        }
        self.bars.push((score, bar.clone()));
        // They are sorted once in a while, so that each costs little.
        if self.bars.len() >= MOST * 4 {
            self.bars.sort_by_key(Self::rank);
            self.bars.truncate(MOST);
            self.least = self.bars.last().map_or(0, |(score, _)| *score);
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Bar> {
        let mut bars: Vec<_> = self.bars.iter().collect();
        bars.sort_by_key(|bar| Self::rank(bar));
        bars.into_iter().take(MOST).map(|(_, bar)| bar)
    }

    fn rank((score, bar): &(u64, Bar)) -> (Reverse<u64>, u64) {
        (Reverse(*score), bar.number)
    }
}
