use std::sync::Arc;
use std::time::SystemTime;

use super::Error;
use super::State;
use super::book::Changing;
use super::code::milliseconds;
use super::code::put_digest;
use super::code::put_texts;
use super::code::take_digest;
use super::code::take_number;
use super::code::take_text;
use super::code::time;
use super::file::Key;
use super::file::Value;
use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::target::Errand;

/// What is owed to one target: each manifest that was pulled and is not there yet. Cheap to clone.
///
/// There is one errand for each tag of a repository, the last one, and one for each manifest that is
/// wanted by its digest alone. The flow of an errand is not kept.
#[derive(Clone, Debug)]
pub struct Queue {
    state: Arc<State>,
    table: Arc<str>,
}

/// An errand that has not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// What is to be there.
    pub errand: Errand,
    /// When it was wanted first.
    pub since: SystemTime,
    /// How often it has failed.
    pub attempts: u32,
    /// Why it failed last.
    pub last_error: Option<String>,
    /// Not before this, it is to be tried again.
    pub next: SystemTime,
}

/// The most that is kept of an error, in characters.
const LONGEST_ERROR: usize = 1000;

impl Queue {
    pub(super) fn of(state: Arc<State>, target: &str) -> Self {
        let table = table(target).into();
        Self { state, table }
    }

    /// `errand` is owed from now on. Where it is already, its age and its failures stay. A tag's
    /// older errand, for another manifest, goes on without its tag: that one would be set back.
    pub fn owe(&self, errand: &Errand) {
        let now = self.state.now();
        let fresh = Entry {
            since: now,
            next: now,
            attempts: 0,
            digest: errand.digest.clone(),
            last_error: None,
        };
        self.state.book.change(|book| {
            let key = self.key(errand);
            match read(book, &key) {
                Some(same) if same.digest == errand.digest => {}
                Some(older) => {
                    let without_tag = self.untagged(&errand.repository, &older.digest);
                    if read(book, &without_tag).is_none() {
                        book.put(without_tag, Some(older.written()));
                    }
                    book.put(key, Some(fresh.written()));
                }
                None => book.put(key, Some(fresh.written())),
            }
        });
    }

    /// Whether `errand` is still owed. One whose tag has moved is not.
    pub fn owes(&self, errand: &Errand) -> bool {
        let value = self.state.book.get(&self.key(errand));
        value
            .and_then(|value| Entry::read(&value))
            .is_some_and(|entry| entry.digest == errand.digest)
    }

    /// `errand` is done, or is never to be done: it is owed no more, nor is its manifest by digest.
    pub fn settle(&self, errand: &Errand) {
        self.state.book.change(|book| {
            for (key, _) in self.entries(book, errand) {
                book.put(key, None);
            }
        });
    }

    /// `errand` has failed, for the reason `why`, and is to be tried again at `next`. What is not
    /// owed stays so.
    pub fn failed(&self, errand: &Errand, why: &str, next: SystemTime) {
        self.state.book.change(|book| {
            for (key, mut entry) in self.entries(book, errand) {
                entry.attempts = entry.attempts.saturating_add(1);
                entry.last_error = Some(why.chars().take(LONGEST_ERROR).collect());
                entry.next = next;
                book.put(key, Some(entry.written()));
            }
        });
    }

    /// All that is owed, the oldest first, each with a flow of its own.
    pub fn owed(&self) -> Vec<Owed> {
        let all = self.state.book.starting(&self.table, &[], usize::MAX);
        let mut owed: Vec<Owed> = all
            .iter()
            .filter_map(|(key, value)| owed(key, value))
            .collect();
        owed.sort_by_key(|owed| owed.since);
        owed
    }

    /// How many errands are owed, but for those of the last milliseconds.
    pub fn len(&self) -> u64 {
        self.state.book.len(&self.table)
    }

    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until all that was said so far is on disk.
    ///
    /// # Errors
    /// As [`State::synced`].
    pub async fn synced(&self) -> Result<(), Error> {
        self.state.synced().await
    }

    /// Where `errand` is: under its tag, and by its digest alone.
    fn entries(&self, book: &Changing<'_>, errand: &Errand) -> Vec<(Key, Entry)> {
        let untagged = self.untagged(&errand.repository, &errand.digest);
        let tagged = errand.tag.is_some().then(|| self.key(errand));
        tagged
            .into_iter()
            .chain([untagged])
            .filter_map(|key| {
                let entry = read(book, &key)?;
                Some((key, entry))
            })
            .filter(|(_, entry)| entry.digest == errand.digest)
            .collect()
    }

    fn key(&self, errand: &Errand) -> Key {
        let Some(tag) = &errand.tag else {
            return self.untagged(&errand.repository, &errand.digest);
        };
        let mut bytes = prefix(&errand.repository);
        put_texts(&mut bytes, &[tag.as_str()]);
        self.keyed(bytes)
    }

    fn untagged(&self, repository: &Repository, digest: &Digest) -> Key {
        let mut bytes = prefix(repository);
        put_texts(&mut bytes, &[""]);
        put_digest(&mut bytes, digest);
        self.keyed(bytes)
    }

    fn keyed(&self, bytes: Vec<u8>) -> Key {
        Key {
            table: self.table.clone(),
            bytes: bytes.into(),
        }
    }
}

fn prefix(repository: &Repository) -> Vec<u8> {
    let mut bytes = Vec::new();
    let texts = [repository.upstream.as_str(), repository.name.as_str()];
    put_texts(&mut bytes, &texts);
    bytes
}

fn owed(key: &[u8], value: &[u8]) -> Option<Owed> {
    let (upstream, rest) = take_text(key)?;
    let (name, rest) = take_text(rest)?;
    let (tag, _) = take_text(rest)?;
    let tag = match tag {
        "" => None,
        tag => Some(tag.parse().ok()?),
    };
    let entry = Entry::read(value)?;
    Some(Owed {
        errand: Errand {
            repository: Repository::new(upstream.parse().ok()?, name.parse().ok()?),
            digest: entry.digest,
            tag,
            flow: FlowId::next(),
        },
        since: entry.since,
        attempts: entry.attempts,
        last_error: entry.last_error,
        next: entry.next,
    })
}

/// What the queue holds of an errand.
struct Entry {
    since: SystemTime,
    next: SystemTime,
    attempts: u32,
    digest: Digest,
    last_error: Option<String>,
}

impl Entry {
    fn written(&self) -> Value {
        let mut bytes = Vec::new();
        bytes.extend(milliseconds(self.since).to_be_bytes());
        bytes.extend(milliseconds(self.next).to_be_bytes());
        bytes.extend(u64::from(self.attempts).to_be_bytes());
        put_digest(&mut bytes, &self.digest);
        bytes.extend(self.last_error.as_deref().unwrap_or_default().as_bytes());
        bytes.into()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (since, rest) = take_number(bytes)?;
        let (next, rest) = take_number(rest)?;
        let (attempts, rest) = take_number(rest)?;
        let (digest, error) = take_digest(rest)?;
        let error = String::from_utf8_lossy(error);
        Some(Self {
            since: time(since),
            next: time(next),
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            digest,
            last_error: (!error.is_empty()).then(|| error.into_owned()),
        })
    }
}

fn read(book: &Changing<'_>, key: &Key) -> Option<Entry> {
    Entry::read(&book.get(key)?)
}

/// Upstream, repository and tag, or digest, to how it has gone.
pub(super) fn table(target: &str) -> String {
    format!("owed/{target}")
}
