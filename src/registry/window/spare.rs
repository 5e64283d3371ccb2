//! Requests that can be done without.

use std::sync::Arc;
use std::time::Instant;

use super::Key;
use super::Pass;
use super::Windows;
use super::paused;
use crate::ledger::Action;
use crate::registry::Error;
use crate::registry::Priority;
use crate::registry::fault::Fault;

impl Windows {
    /// As [`Windows::enter`], now or not at all, for what can be done without: where nobody waits and
    /// there is room. It counts as what nobody waits for, so that it holds up no client's request.
    ///
    /// # Errors
    /// `Throttled` while the window is paused, with how much longer; without that where there is no
    /// room.
    pub(in crate::registry) fn enter_now(
        self: &Arc<Self>,
        action: Action,
        is_here: bool,
    ) -> Result<Pass, Fault> {
        let (now, priority) = (Instant::now(), Priority::Background);
        let key = match is_here {
            true => Key::Here(self.family.window(action)),
            false => Key::Elsewhere(action),
        };
        let mut house = self.house();
        for key in [key, Key::Elsewhere(action)] {
            let slot = house.slots.get(&key);
            if let Some(left) = slot.and_then(|slot| slot.window.pause.left(now)) {
                return Err(paused(left));
            }
        }
        let no_room = || Fault::lasting(Error::Throttled { retry_after: None });
        let slot = house.slot(self.family, key);
        let waits = Priority::ALL.iter().any(|one| slot.line.len(*one) > 0);
        if waits || !slot.window.has_room(now) {
            return Err(no_room());
        }
        let share = self.allowance.take_spare(now).ok_or_else(no_room)?;
        let left = slot.window.depart(now, priority, false);
        drop(house);
        let windows = self.clone();
        Ok(Pass::new(
            windows,
            (key, action),
            (left, priority),
            Some(share),
        ))
    }
}
