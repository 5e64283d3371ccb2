//! What is owed to one target, in memory: which errands are under way, which are next, which wait.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use super::Errand;
use super::ErrandState;
use super::Error;
use super::Mirrored;
use super::Pace;
use crate::oci::Digest;
use crate::oci::Repository;

mod entry;

pub(super) use entry::Entry;
pub(super) use entry::Next;

use entry::Manifest;
use entry::Slot;
use entry::Waiter;
use entry::When;
use entry::slot;

/// What is owed to one target, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    next: u64,
    entries: HashMap<u64, Entry>,
    /// The last errand of each tag, and of each manifest by its digest alone.
    slots: HashMap<Slot, u64>,
    ready: BTreeSet<u64>,
    timed: BTreeSet<(Instant, u64)>,
    /// Those with a tag, by their manifest.
    tagged: HashMap<Manifest, Vec<u64>>,
    /// Those that wait until a manifest is there, by that.
    parked: HashMap<Manifest, Vec<u64>>,
    running: usize,
}

impl Agenda {
    /// Adds an errand, or joins the one that is there. A tag that has moved is taken from its older
    /// errand, which goes on without it.
    pub(super) fn add(&mut self, mut new: Entry, waiter: Option<Waiter>) {
        new.waiters.0.extend(waiter);
        match self.slots.get(&new.slot()).copied() {
            Some(id) if self.joins(id, &mut new) => return,
            Some(id) => self.untag(id),
            None => {}
        }
        if new.errand.tag.is_none()
            && let Some(id) = self.tagged(&new.errand)
            && self.joins(id, &mut new)
        {
            return;
        }
        self.absorb_untagged(&mut new);
        self.next += 1;
        self.slots.insert(new.slot(), self.next);
        if new.errand.tag.is_some() {
            self.tagged
                .entry(new.manifest())
                .or_default()
                .push(self.next);
        }
        self.ready.insert(self.next);
        self.entries.insert(self.next, new);
    }

    /// Joins `new` to an errand, where that is about the same manifest.
    fn joins(&mut self, id: u64, new: &mut Entry) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        if entry.errand.digest != new.errand.digest || !entry.part.covers(&new.part) {
            return false;
        }
        let wanted_now = !new.waiters.0.is_empty() || entry.eager;
        entry.waiters.0.append(&mut new.waiters.0);
        entry.durable |= new.durable;
        if new.pace == Pace::Client {
            entry.pace = Pace::Client;
        }
        if let When::At(at, _) = entry.when
            && wanted_now
        {
            entry.when = When::Ready;
            self.timed.remove(&(at, id));
            self.ready.insert(id);
        }
        true
    }

    /// One with a tag does what one without it would do.
    fn absorb_untagged(&mut self, new: &mut Entry) {
        if new.errand.tag.is_none() {
            return;
        }
        let slot = slot(&new.errand.repository, &new.errand.digest, None);
        let idle = |id: &u64| {
            self.entries
                .get(id)
                .is_some_and(|it| it.when != When::Running && new.part.covers(&it.part))
        };
        if let Some(id) = self.slots.get(&slot).copied().filter(idle)
            && let Some(mut old) = self.remove(id)
        {
            new.since = old.since;
            new.waiters.0.append(&mut old.waiters.0);
        }
    }

    /// The tag of an errand has moved: it goes on by its digest, unless another one does that.
    fn untag(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let (old, manifest) = (entry.slot(), entry.manifest());
        entry.errand.tag = None;
        let new = entry.slot();
        let running = entry.when == When::Running;
        self.slots.remove(&old);
        forget(&mut self.tagged, &manifest, id);
        let holder = *self.slots.entry(new).or_insert(id);
        if holder != id
            && !running
            && let Some(mut old) = self.remove(id)
            && let Some(holder) = self.entries.get_mut(&holder)
        {
            holder.waiters.0.append(&mut old.waiters.0);
        }
    }

    /// An errand for a tag of the same manifest as `errand`.
    fn tagged(&self, errand: &Errand) -> Option<u64> {
        let key = (errand.repository.clone(), errand.digest.clone());
        self.tagged.get(&key)?.first().copied()
    }

    /// Takes up to `most` errands that can begin at `now`, the oldest first.
    pub(super) fn take(&mut self, now: Instant, most: usize) -> Vec<(u64, Entry)> {
        self.ripen(now);
        let ids: Vec<_> = self.ready.iter().copied().take(most).collect();
        ids.into_iter().filter_map(|id| self.begin(id)).collect()
    }

    /// Takes the errand that has failed least, to see whether the target is well: one that fails
    /// whatever happens does not stand for all.
    pub(super) fn take_probe(&mut self, now: Instant) -> Option<(u64, Entry)> {
        self.ripen(now);
        let attempts = |id: &u64| self.entries.get(id).map(|entry| entry.attempts);
        let id = *self.ready.iter().min_by_key(|id| attempts(id))?;
        self.begin(id)
    }

    fn ripen(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.timed.first()
            && at <= now
        {
            self.timed.pop_first();
            self.ready.insert(id);
        }
    }

    fn begin(&mut self, id: u64) -> Option<(u64, Entry)> {
        self.ready.remove(&id);
        let entry = self.entries.get_mut(&id)?;
        entry.when = When::Running;
        self.running += 1;
        for digest in std::mem::take(&mut entry.parked) {
            let key = (entry.errand.repository.clone(), digest);
            forget(&mut self.parked, &key, id);
        }
        Some((id, entry.clone()))
    }

    /// When the next errand can begin that can't now.
    pub(super) fn next_time(&self) -> Option<Instant> {
        self.timed.first().map(|(at, _)| *at)
    }

    /// What errand `id` is to do now: its tag may have moved.
    pub(super) fn errand(&self, id: u64) -> Option<&Errand> {
        self.entries.get(&id).map(|entry| &entry.errand)
    }

    /// What errand `id` is to do, and how often it has failed.
    pub(super) fn attempted(&self, id: u64) -> Option<(Errand, u32)> {
        let entry = self.entries.get(&id)?;
        Some((entry.errand.clone(), entry.attempts))
    }

    /// Whether another errand is to put the same manifest under a tag.
    pub(super) fn leaves_to_tag(&self, errand: &Errand) -> bool {
        errand.tag.is_none() && self.tagged(errand).is_some()
    }

    /// An errand has come to a good end, or is never to be done: tells those who wait for it.
    pub(super) fn done(&mut self, id: u64, outcome: &Result<Mirrored, Error>) -> Option<Entry> {
        let mut entry = self.remove(id)?;
        for waiter in entry.waiters.0.drain(..) {
            let _ = waiter.send(outcome.clone());
        }
        Some(entry)
    }

    /// An errand has failed: those who wait for it are told, and it is tried again.
    pub(super) fn failed(&mut self, id: u64, error: &Error, next: Next) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        for waiter in entry.waiters.0.drain(..) {
            let _ = waiter.send(Err(error.clone()));
        }
        if !entry.durable {
            self.remove(id);
            return;
        }
        entry.resumed = false;
        entry.eager = matches!(next, Next::Supply(_));
        entry.last_error = Some(error.to_string());
        entry.attempts += u32::from(!matches!(next, Next::Parked(..)));
        self.running -= usize::from(entry.when == When::Running);
        let pause = match &next {
            Next::Now => Duration::ZERO,
            Next::After(pause) | Next::Supply(pause) | Next::Parked(pause, _) => *pause,
        };
        if pause.is_zero() {
            entry.when = When::Ready;
            self.ready.insert(id);
        } else {
            let at = Instant::now() + pause;
            entry.when = When::At(at, SystemTime::now() + pause);
            self.timed.insert((at, id));
        }
        if let Next::Parked(_, lacking) = next {
            let repository = entry.errand.repository.clone();
            entry.parked.clone_from(&lacking);
            entry.in_vain = true;
            for digest in lacking {
                let key = (repository.clone(), digest);
                self.parked.entry(key).or_default().push(id);
            }
        }
    }

    /// Those who wait for an errand that is not under way are told that it is given up; it stays
    /// where it is in the queue on disk.
    pub(super) fn give_up(&mut self, error: &Error) {
        let idle = |entry: &Entry| entry.when != When::Running && !entry.waiters.0.is_empty();
        let waited = self.entries.iter().filter(|(_, entry)| idle(entry));
        let waited: Vec<u64> = waited.map(|(id, _)| *id).collect();
        for id in waited {
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            for waiter in entry.waiters.0.drain(..) {
                let _ = waiter.send(Err(error.clone()));
            }
            if !entry.durable {
                self.remove(id);
            }
        }
    }

    /// `digest` is there now: those that wait for it can begin.
    pub(super) fn wake(&mut self, repository: &Repository, digest: &Digest) {
        let key = (repository.clone(), digest.clone());
        for id in self.parked.remove(&key).unwrap_or_default() {
            if let Some(entry) = self.entries.get_mut(&id)
                && let When::At(at, _) = entry.when
            {
                entry.when = When::Ready;
                entry.in_vain = false;
                self.timed.remove(&(at, id));
                self.ready.insert(id);
            }
        }
    }

    /// Whether errand `id` was parked until its time was over.
    pub(super) fn was_parked_in_vain(&self, id: u64) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.in_vain)
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        let slot = entry.slot();
        if self.slots.get(&slot) == Some(&id) {
            self.slots.remove(&slot);
        }
        match entry.when {
            When::Running => self.running -= 1,
            When::At(at, _) => drop(self.timed.remove(&(at, id))),
            When::Ready => drop(self.ready.remove(&id)),
        }
        forget(&mut self.tagged, &entry.manifest(), id);
        for digest in &entry.parked {
            let key = (entry.errand.repository.clone(), digest.clone());
            forget(&mut self.parked, &key, id);
        }
        Some(entry)
    }

    /// How many are owed.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many are under way.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Whether there is one that could begin at `now`.
    pub(super) fn has_ready(&self, now: Instant) -> bool {
        !self.ready.is_empty() || self.next_time().is_some_and(|at| at <= now)
    }

    /// The first `most` errands, in their order.
    pub(super) fn states(&self, most: usize) -> Vec<ErrandState> {
        let mut ids: Vec<_> = self.entries.keys().copied().collect();
        ids.sort_unstable();
        let entries = ids.iter().filter_map(|id| self.entries.get(id));
        entries.take(most).map(Entry::state).collect()
    }
}

fn forget(ids: &mut HashMap<Manifest, Vec<u64>>, key: &Manifest, id: u64) {
    if let Some(some) = ids.get_mut(key) {
        some.retain(|other| *other != id);
        if some.is_empty() {
            ids.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
