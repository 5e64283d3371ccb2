use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use http::HeaderMap;
use http::StatusCode;

use super::Key;
use super::Left;
use super::Windows;
use crate::ledger::Action;
use crate::registry::Error;
use crate::registry::Priority;
use crate::registry::allowance::Share;
use crate::registry::fault::Fault;
use crate::registry::quota::Quota;
use crate::registry::retry;

/// Leave to send the requests of one action, hops included, until its drop: then another one may.
pub(in crate::registry) struct Pass {
    windows: Arc<Windows>,
    key: Key,
    action: Action,
    left: Left,
    priority: Priority,
    /// Whether the answer says that the request was let in.
    is_let_in: bool,
    _share: Option<Share>,
}

impl Pass {
    pub(super) fn new(
        windows: Arc<Windows>,
        (key, action): (Key, Action),
        (left, priority): (Left, Priority),
        share: Option<Share>,
    ) -> Self {
        Self {
            windows,
            key,
            action,
            left,
            priority,
            is_let_in: false,
            _share: share,
        }
    }

    /// Which action it is for.
    pub(in crate::registry) fn action(&self) -> Action {
        self.action
    }

    /// Takes note of an answer. Gives how long its window is paused, where this answer says that it
    /// was too much.
    pub(in crate::registry) fn answered(
        &mut self,
        (status, headers): (StatusCode, &HeaderMap),
    ) -> Option<Duration> {
        let clock = SystemTime::now();
        let told = retry::retry_after(headers, clock);
        let is_here = matches!(self.key, Key::Here(_));
        if let (true, Some(quota)) = (is_here, Quota::of(headers, clock)) {
            let metered = Key::Here(self.windows.family.metered(self.action));
            let name = || self.windows.told(metered);
            self.windows
                .slot(metered, |slot| slot.window.learn(quota, name));
        }
        match status.as_u16() {
            429 => Some(self.refused(status, told)),
            503 if told.is_some() => Some(self.refused(status, told)),
            other => {
                self.accepted(other);
                None
            }
        }
    }

    fn accepted(&mut self, status: u16) {
        // A registry may ask who it is before it counts, and one that fails says nothing of limits.
        let counts = status != 401;
        self.is_let_in = counts && status < 500;
        let (now, left) = (Instant::now(), self.left);
        let is_let_in = self.is_let_in;
        let is_over = self.windows.slot(self.key, |slot| {
            if is_let_in {
                slot.window.accepted(&left, now);
            }
            let was_on = slot.window.pause.is_on();
            let is_over = slot.window.pause.answered(left.at, counts);
            if was_on {
                slot.line.ring_all();
            } else {
                slot.line.ring();
            }
            is_over
        });
        if is_over {
            let what = self.windows.told(self.key);
            tracing::info!("{what}: answers again");
        }
    }

    fn refused(&mut self, status: StatusCode, told: Option<Duration>) -> Duration {
        let (now, left, base) = (Instant::now(), self.left, self.windows.base);
        let (is_first, pause) = self.windows.slot(self.key, |slot| {
            let is_first = !slot.window.pause.is_on();
            slot.window.refused(&left, now);
            let pause = slot.window.pause.begin((left.at, now), told, base);
            slot.line.ring_all();
            (is_first, pause)
        });
        if is_first {
            let (what, status) = (self.windows.told(self.key), status.as_u16());
            tracing::warn!(?pause, "{what}: too many requests ({status}), paused");
        }
        pause
    }

    /// Takes note that no answer came, or not all of it, so that nobody waits for it.
    pub(in crate::registry) fn failed(&mut self, error: &Error) {
        self.is_let_in = false;
        let is_trouble = matches!(error, Error::Unreachable(_) | Error::TimedOut(_));
        let (now, left) = (Instant::now(), self.left);
        self.windows.slot(self.key, |slot| {
            if is_trouble {
                slot.window.troubled(&left, now);
            }
            slot.window.pause.answered(left.at, false);
            slot.line.ring_all();
        });
    }

    /// All of the answer has come.
    pub(in crate::registry) fn succeeded(self) {
        if self.is_let_in {
            let (now, left) = (Instant::now(), self.left);
            self.windows
                .slot(self.key, |slot| slot.window.succeeded(&left, now));
        }
    }

    /// It goes on at another place: the registry has done its part.
    pub(in crate::registry) async fn redirected(self) -> Result<Self, Fault> {
        let (windows, action, priority) = (self.windows.clone(), self.action, self.priority);
        self.succeeded();
        windows.enter(action, priority, false).await
    }
}

impl Pass {
    /// As [`Pass::redirected`], where it can go on now.
    pub(in crate::registry) fn redirected_now(self) -> Result<Self, Fault> {
        let (windows, action) = (self.windows.clone(), self.action);
        self.succeeded();
        windows.enter_now(action, false)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let (now, priority) = (Instant::now(), self.priority);
        self.windows.slot(self.key, |slot| {
            slot.window.ended(now, priority);
            slot.line.ring();
        });
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass")
            .field("key", &self.key)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
