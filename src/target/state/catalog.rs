use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Error;
use super::State;
use super::book::Changing;
use super::code::put_digest;
use super::code::put_texts;
use super::code::seconds;
use super::code::take_digest;
use super::code::take_text;
use super::file::Key;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Tag;

/// What one target is known to have, repository by repository. Cheap to clone.
///
/// Notes and withdrawals are true for whoever asks next, and on disk soon after. Nothing here waits
/// for the disk but a look at what was not looked at for long.
#[derive(Clone, Debug)]
pub struct Catalog {
    state: Arc<State>,
    content: Arc<str>,
    tags: Arc<str>,
    ttl: Duration,
    withdrawals: Arc<AtomicU64>,
}

/// How well it is known that something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Noted less than `catalog_ttl` ago: believe it. Else ask (`HEAD`) and note it again.
    pub fresh: bool,
    /// A manifest that is there names it, or it is that manifest: no garbage collection takes it,
    /// and every registry mounts from there.
    pub committed: bool,
    /// It is there as a manifest. What is not, can't be asked for as one.
    pub manifest: bool,
    /// Its upstream gave it through the repository that is mirrored here, or said that that has it.
    /// That a manifest names it, and it was mounted for that, is no proof.
    pub proven: bool,
}

/// A repository of the target that has a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Which.
    pub name: Name,
    /// As [`Known::fresh`].
    pub fresh: bool,
    /// As [`Known::committed`].
    pub committed: bool,
}

/// Where a tag points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTag {
    /// The manifest.
    pub digest: Digest,
    /// As [`Known::fresh`].
    pub fresh: bool,
    /// Where not all that the manifest, or the one that it stands for, names is meant to be there.
    pub part: Option<KnownPart>,
}

/// What a tag was put there for, where that was only a part of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPart {
    /// The index, as its upstream has it.
    pub of: Digest,
    /// The platforms that were wanted, sorted, with commas between them.
    pub platforms: String,
}

/// So many holders of one blob are looked at, and so many are told: one is enough, mostly.
const LOOKED_AT: usize = 1024;
const TOLD: usize = 64;

/// It is there as a blob.
const BLOB: u8 = 1;
/// A manifest that is there names it.
const COMMITTED: u8 = 2;
/// It is there as a manifest.
const MANIFEST: u8 = 4;
/// As [`Known::proven`].
const PROVEN: u8 = 8;

impl Catalog {
    pub(super) fn of(state: Arc<State>, target: &str, ttl: Duration) -> Self {
        Self {
            withdrawals: state.withdrawals(target),
            content: content_table(target).into(),
            tags: tags_table(target).into(),
            state,
            ttl,
        }
    }

    /// Whether `name` has `digest`, as a blob or a manifest.
    pub fn holds(&self, name: &Name, digest: &Digest) -> Option<Known> {
        let value = self.state.book.get(&self.content(name, digest))?;
        let (fresh, flags, _) = self.read(&value)?;
        Some(Known {
            fresh,
            committed: flags & (COMMITTED | MANIFEST) != 0,
            manifest: flags & MANIFEST != 0,
            proven: flags & (PROVEN | MANIFEST) != 0,
        })
    }

    /// Some repositories that have the blob: committed ones first, then fresh ones, 64 at most.
    pub fn holders(&self, digest: &Digest) -> Vec<Holder> {
        let mut prefix = Vec::new();
        put_digest(&mut prefix, digest);
        let found = self.state.book.starting(&self.content, &prefix, LOOKED_AT);
        let mut holders: Vec<Holder> = found
            .iter()
            .filter_map(|(key, value)| {
                let name = str::from_utf8(&key[prefix.len()..]).ok()?;
                let (fresh, flags, _) = self.read(value)?;
                let holder = Holder {
                    name: name.parse().ok()?,
                    fresh,
                    committed: flags & COMMITTED != 0,
                };
                (flags & BLOB != 0).then_some(holder)
            })
            .collect();
        holders.sort_by_key(|holder| (!holder.committed, !holder.fresh));
        holders.truncate(TOLD);
        holders
    }

    /// `name` has the blob `digest`.
    pub fn note(&self, name: &Name, digest: &Digest) {
        self.add(name, &[(digest, BLOB)]);
    }

    /// `name` has the blob `digest`, which the upstream gives through what is mirrored there.
    pub fn note_proven(&self, name: &Name, digest: &Digest) {
        self.add(name, &[(digest, BLOB | PROVEN)]);
    }

    /// `name` has the manifest `digest`, and all `blobs` that it names.
    pub fn note_manifest(&self, name: &Name, digest: &Digest, blobs: &[Digest]) {
        let blobs = blobs.iter().map(|blob| (blob, BLOB | COMMITTED));
        let all: Vec<_> = blobs.chain([(digest, MANIFEST)]).collect();
        self.add(name, &all);
    }

    /// Where `tag` of `name` points.
    pub fn tag(&self, name: &Name, tag: &Tag) -> Option<KnownTag> {
        let value = self.state.book.get(&self.tag_key(name, tag))?;
        let (fresh, _, rest) = self.read(&value)?;
        let (digest, rest) = take_digest(rest)?;
        let part = take_digest(rest).and_then(|(of, rest)| {
            let (platforms, _) = take_text(rest)?;
            let platforms = platforms.to_owned();
            Some(KnownPart { of, platforms })
        });
        Some(KnownTag {
            digest,
            fresh,
            part,
        })
    }

    /// The tags of `name` that are known.
    pub fn tags(&self, name: &Name) -> Vec<Tag> {
        let prefix = tag_prefix(name);
        let found = self.state.book.starting(&self.tags, &prefix, usize::MAX);
        let tags = found.iter().filter_map(|(key, value)| {
            self.read(value)?;
            str::from_utf8(&key[prefix.len()..]).ok()?.parse().ok()
        });
        tags.collect()
    }

    /// `tag` of `name` points to `digest`.
    pub fn note_tag(&self, name: &Name, tag: &Tag, digest: &Digest) {
        self.note_part(name, tag, (digest, None));
    }

    /// `tag` of `name` points to `digest`, which was put there for a part of an index.
    pub fn note_part(&self, name: &Name, tag: &Tag, (digest, part): (&Digest, Option<&KnownPart>)) {
        if self.is_full() {
            return;
        }
        let mut value = self.value(0);
        put_digest(&mut value, digest);
        if let Some(part) = part {
            put_digest(&mut value, &part.of);
            put_texts(&mut value, &[&part.platforms]);
        }
        let change = |book: &Changing<'_>| book.put(self.tag_key(name, tag), Some(value.into()));
        self.state.book.change(change);
    }

    /// `name` does not have `digest`, or nobody can say.
    pub fn withdraw(&self, name: &Name, digest: &Digest) {
        self.take(self.content(name, digest));
    }

    /// `tag` of `name` is not where it was.
    pub fn withdraw_tag(&self, name: &Name, tag: &Tag) {
        self.take(self.tag_key(name, tag));
    }

    /// Forgets what is known of `name`, or of all repositories: how many blobs, manifests and tags.
    /// It is on disk at the return; this blocks.
    ///
    /// # Errors
    /// When the disk fails: some may be known still.
    pub fn forget(&self, name: Option<&Name>) -> Result<u64, Error> {
        let is_content = |key: &[u8], _: &[u8]| {
            let owner = take_digest(key).map(|(_, name)| name);
            name.is_none_or(|name| owner == Some(name.as_str().as_bytes()))
        };
        let prefix = name.map_or(Vec::new(), tag_prefix);
        let is_tag = |key: &[u8], _: &[u8]| key.starts_with(&prefix);
        let content = self.state.book.remove(&self.content, is_content)?;
        Ok(content + self.state.book.remove(&self.tags, is_tag)?)
    }

    /// How many blobs, manifests and tags are known, but for those of the last milliseconds.
    pub fn entries(&self) -> u64 {
        self.state.book.len(&self.content) + self.state.book.len(&self.tags)
    }

    /// How many were withdrawn, since the start.
    pub fn withdrawals(&self) -> u64 {
        self.withdrawals.load(Ordering::Relaxed)
    }

    /// Waits until all that was said so far is on disk.
    ///
    /// # Errors
    /// As [`State::synced`].
    pub async fn synced(&self) -> Result<(), Error> {
        self.state.synced().await
    }

    /// Notes what is there, beside what was known of it.
    fn add(&self, name: &Name, all: &[(&Digest, u8)]) {
        if self.is_full() {
            return;
        }
        self.state.book.change(|book| {
            for (digest, flags) in all {
                let key = self.content(name, digest);
                let before = book.get(&key);
                let known = before.and_then(|value| self.read(&value).map(|(_, flags, _)| flags));
                let value = self.value(flags | known.unwrap_or(0));
                book.put(key, Some(value.into()));
            }
        });
    }

    fn take(&self, key: Key) {
        let was_there = self.state.book.change(|book| {
            let was_there = book.get(&key).is_some();
            if was_there {
                book.put(key, None);
            }
            was_there
        });
        self.withdrawals
            .fetch_add(was_there.into(), Ordering::Relaxed);
    }

    /// What is only noted to save work may be lost where the disk has failed for long.
    fn is_full(&self) -> bool {
        self.state.book.is_full()
    }

    fn content(&self, name: &Name, digest: &Digest) -> Key {
        let mut bytes = Vec::with_capacity(33 + name.as_str().len());
        put_digest(&mut bytes, digest);
        bytes.extend(name.as_str().as_bytes());
        Key {
            table: self.content.clone(),
            bytes: bytes.into(),
        }
    }

    fn tag_key(&self, name: &Name, tag: &Tag) -> Key {
        let mut bytes = tag_prefix(name);
        bytes.extend(tag.as_str().as_bytes());
        Key {
            table: self.tags.clone(),
            bytes: bytes.into(),
        }
    }

    fn value(&self, flags: u8) -> Vec<u8> {
        let mut value = seconds(self.state.now()).to_be_bytes().to_vec();
        value.push(flags);
        value
    }

    /// Whether a value is fresh, its flags, and what follows; `None` of one that is too old.
    fn read<'v>(&self, value: &'v [u8]) -> Option<(bool, u8, &'v [u8])> {
        let age = age(value, seconds(self.state.now()))?;
        let (flags, rest) = value[4..].split_first()?;
        (age < self.ttl.saturating_mul(2)).then_some((age < self.ttl, *flags, rest))
    }
}

/// How long ago `value` was noted, where it is `now`. What is from the future is as doubtful.
fn age(value: &[u8], now: u32) -> Option<Duration> {
    let noted = u32::from_be_bytes(*value.first_chunk()?);
    Some(Duration::from_secs(now.abs_diff(noted).into()))
}

/// Whether a value of either table was noted longer ago than `most`.
pub(super) fn is_older(value: &[u8], now: u32, most: Duration) -> bool {
    age(value, now).is_none_or(|age| age >= most)
}

fn tag_prefix(name: &Name) -> Vec<u8> {
    let mut prefix = Vec::new();
    put_texts(&mut prefix, &[name.as_str()]);
    prefix
}

/// Digest and repository, to when it was noted and how it is there.
pub(super) fn content_table(target: &str) -> String {
    format!("content/{target}")
}

/// Repository and tag, to when it was noted and where it points.
pub(super) fn tags_table(target: &str) -> String {
    format!("tags/{target}")
}
