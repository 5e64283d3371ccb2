use tokio::sync::watch;

/// What a run passes before it begins anything new: it may be held, and it may be ended. What is
/// under way goes on meanwhile.
#[derive(Debug)]
pub struct Gate(watch::Sender<State>);

/// A run that is to end: nothing new is begun any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the run was interrupted")]
pub struct Ended;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Held,
    Ended,
}

impl Default for Gate {
    /// An open one.
    fn default() -> Self {
        Self(watch::Sender::new(State::Open))
    }
}

impl Gate {
    /// Waits while it is held. Cancel-safe.
    ///
    /// # Errors
    /// When the run is to end.
    pub async fn pass(&self) -> Result<(), Ended> {
        let mut changes = self.0.subscribe();
        // The sender is ours, so that it can't be gone.
        let state = changes.wait_for(|state| *state != State::Held).await;
        match state.map(|state| *state) {
            Ok(State::Open) => Ok(()),
            _ => Err(Ended),
        }
    }

    /// Nothing new is begun until [`Gate::release`]. No matter where the run is to end.
    pub fn hold(&self) {
        self.turn(State::Open, State::Held);
    }

    /// What was held goes on.
    pub fn release(&self) {
        self.turn(State::Held, State::Open);
    }

    /// Nothing new is begun any more.
    pub fn end(&self) {
        self.0.send_replace(State::Ended);
    }

    /// Whether it is held.
    pub fn is_held(&self) -> bool {
        *self.0.borrow() == State::Held
    }

    /// Whether the run is to end.
    pub fn is_ended(&self) -> bool {
        *self.0.borrow() == State::Ended
    }

    /// Waits until the run is to end. Cancel-safe.
    pub async fn ended(&self) {
        let mut changes = self.0.subscribe();
        let _ = changes.wait_for(|state| *state == State::Ended).await;
    }

    fn turn(&self, from: State, to: State) {
        self.0.send_if_modified(|state| {
            let is_so = *state == from;
            if is_so {
                *state = to;
            }
            is_so
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn what_is_held_waits_and_what_is_ended_does_not() {
        let gate = Arc::new(Gate::default());
        assert_eq!(gate.pass().await, Ok(()));
        gate.hold();
        assert!(gate.is_held());
        let held = gate.clone();
        let waiting = tokio::spawn(async move { held.pass().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        gate.release();
        assert_eq!(waiting.await.unwrap(), Ok(()));

        gate.hold();
        let held = gate.clone();
        let waiting = tokio::spawn(async move { held.pass().await });
        gate.end();
        assert_eq!(waiting.await.unwrap(), Err(Ended));
        gate.ended().await;
        // An end is for good.
        gate.release();
        gate.hold();
        assert_eq!(gate.pass().await, Err(Ended));
        assert!(gate.is_ended());
    }
}
