use std::sync::Arc;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use super::Changes;
use super::Shared;
use super::Trouble;
use super::lock;

/// So long changes are gathered for one transaction, unless somebody waits for it.
const GATHER: Duration = Duration::from_millis(5);
/// When what is too old is looked for, first and then again and again.
const FIRST_SWEEP: Duration = Duration::from_secs(10 * 60);
const SWEEP: Duration = Duration::from_secs(60 * 60);
/// The first and the longest pause after a disk's failure.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Writes what waits, until the book is closed and nothing waits any more.
pub(super) fn run(book: &Shared, sweep: &impl Fn(&Shared)) {
    let mut next_sweep = Instant::now() + FIRST_SWEEP;
    let mut pause = PAUSES.0;
    loop {
        let changes = book.wait_for_work(next_sweep.saturating_duration_since(Instant::now()));
        let is_ending = changes.is_ending;
        if is_ending && changes.pending.is_empty() {
            return;
        }
        let damage = changes.damage.clone();
        let is_idle = changes.is_idle();
        drop(changes);
        if let Some(why) = damage {
            book.begin_anew(&why);
        }
        if is_idle {
            if next_sweep <= Instant::now() {
                sweep(book);
                next_sweep = Instant::now() + SWEEP;
            }
        } else if book.write() {
            pause = PAUSES.0;
        } else if is_ending {
            tracing::warn!("what targets got last could not be written; it is found out again");
            return;
        } else {
            book.rest(pause);
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

impl Changes {
    /// Whether there is nothing to write, and nobody to be told so.
    fn is_idle(&self) -> bool {
        self.pending.is_empty() && !self.is_urgent
    }
}

impl Shared {
    /// Waits for something to write, and a little longer for more; not longer than `most` for the
    /// first, and not at all where the book is to be closed.
    fn wait_for_work(&self, most: Duration) -> MutexGuard<'_, Changes> {
        let is_idle = |changes: &mut Changes| {
            changes.is_idle() && !changes.is_ending && changes.damage.is_none()
        };
        let (changes, _) = self
            .bell
            .wait_timeout_while(self.changes(), most, is_idle)
            .unwrap_or_else(PoisonError::into_inner);
        let may_gather = |changes: &mut Changes| {
            !changes.pending.is_empty() && !changes.is_urgent && !changes.is_ending
        };
        let (changes, _) = self
            .bell
            .wait_timeout_while(changes, GATHER, may_gather)
            .unwrap_or_else(PoisonError::into_inner);
        changes
    }

    /// Lets a disk that has failed alone for a while; not where the book is to be closed.
    fn rest(&self, pause: Duration) {
        let goes_on = |changes: &mut Changes| !changes.is_ending;
        let _rested = self
            .bell
            .wait_timeout_while(self.changes(), pause, goes_on)
            .unwrap_or_else(PoisonError::into_inner);
    }

    /// Writes what waits; whether that is on disk.
    fn write(&self) -> bool {
        let _committing = lock(&self.committing);
        let (batch, said) = {
            let mut changes = self.changes();
            changes.is_urgent = false;
            changes.writing = Arc::new(std::mem::take(&mut changes.pending));
            (changes.writing.clone(), changes.said)
        };
        let written = match batch.is_empty() {
            true => Ok(()),
            false => self.file.write(&batch),
        };
        let mut changes = self.changes();
        changes.writing = Arc::default();
        match written {
            Ok(()) => {
                changes.commits += 1;
                drop(changes);
                self.progress
                    .send_modify(|progress| progress.written = said);
                true
            }
            Err(trouble) => {
                // What was changed again meanwhile is newer.
                for (key, value) in Arc::unwrap_or_clone(batch) {
                    changes.pending.entry(key).or_insert(value);
                }
                drop(changes);
                self.fail(trouble);
                false
            }
        }
    }

    /// Makes the file ready for another try, and says why this one failed.
    fn fail(&self, trouble: Trouble) {
        let again = match &trouble {
            Trouble::Damaged(why) => self.file.begin_anew(why),
            _ => self.file.reopen(),
        };
        let error = self.file.error(trouble);
        tracing::warn!("{error}; what targets have is kept in memory, and written later");
        if let Err(error) = again {
            tracing::debug!("it can't be opened again yet: {error}");
        }
        self.progress.send_modify(|progress| {
            progress.failures += 1;
            progress.why = Some(error);
        });
    }

    fn begin_anew(&self, why: &str) {
        let _committing = lock(&self.committing);
        if let Err(error) = self.file.begin_anew(why) {
            tracing::warn!("{error}; what targets have is kept in memory");
        }
        self.changes().damage = None;
        self.forget_lookups();
    }
}
