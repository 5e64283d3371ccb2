//! A limit on requests, as registries have them: what is beyond it is answered 429.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use crate::record::lock;

/// A limit: so many requests a second, or so many at once. Clones are the same limit, so that several
/// kinds of requests, or servers, can share one. What it lets in is answered after a delay, what it
/// refuses at once.
#[derive(Clone, Debug)]
pub struct Limiter(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    limit: Limit,
    retry_after: Option<u64>,
    delay: Duration,
    /// Requests that may come at once, of a rate.
    tokens: f64,
    filled: Instant,
    at_once: usize,
    let_in: u64,
    refused: u64,
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    /// Requests a second, and how many may come at once.
    Rate(f64, f64),
    AtOnce(usize),
}

/// One request that was let in: it counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    limiter: Limiter,
    pub(crate) delay: Duration,
}

/// One that was not: it may come again in so many seconds.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Option<u64>);

impl Limiter {
    /// `per_second` requests a second, as a bucket of `burst` tokens has it.
    pub fn rate(per_second: f64, burst: f64) -> Self {
        Self::new(Limit::Rate(per_second, burst))
    }

    /// `most` requests at once, bodies included.
    pub fn at_once(most: usize) -> Self {
        Self::new(Limit::AtOnce(most))
    }

    fn new(limit: Limit) -> Self {
        let tokens = match limit {
            Limit::Rate(_, burst) => burst,
            Limit::AtOnce(_) => 0.0,
        };
        Self(Arc::new(Mutex::new(State {
            limit,
            retry_after: None,
            delay: Duration::ZERO,
            tokens,
            filled: Instant::now(),
            at_once: 0,
            let_in: 0,
            refused: 0,
        })))
    }

    /// Says `Retry-After: <seconds>` with each refusal.
    pub fn retry_after(self, seconds: u64) -> Self {
        lock(&self.0).retry_after = Some(seconds);
        self
    }

    /// Answers what is let in after `delay`.
    pub fn delay(self, delay: Duration) -> Self {
        lock(&self.0).delay = delay;
        self
    }

    /// From now on `times` as much is let in.
    pub fn scale(&self, times: f64) {
        let mut state = lock(&self.0);
        state.limit = match state.limit {
            Limit::Rate(rate, burst) => Limit::Rate(rate * times, burst * times),
            Limit::AtOnce(most) => Limit::AtOnce(((most as f64 * times) as usize).max(1)),
        };
    }

    /// How many requests were let in until now.
    pub fn let_in(&self) -> u64 {
        lock(&self.0).let_in
    }

    /// How many requests were refused until now.
    pub fn refused(&self) -> u64 {
        lock(&self.0).refused
    }

    pub(crate) fn enter(&self) -> Result<Admitted, Refused> {
        let mut state = lock(&self.0);
        if !state.takes(Instant::now()) {
            state.refused += 1;
            return Err(Refused(state.retry_after));
        }
        state.let_in += 1;
        state.at_once += 1;
        Ok(Admitted {
            limiter: self.clone(),
            delay: state.delay,
        })
    }
}

impl State {
    fn takes(&mut self, now: Instant) -> bool {
        match self.limit {
            Limit::AtOnce(most) => self.at_once < most,
            Limit::Rate(rate, burst) => {
                let passed = now.saturating_duration_since(self.filled).as_secs_f64();
                self.filled = now;
                self.tokens = (self.tokens + passed * rate).min(burst.max(1.0));
                let takes = self.tokens >= 1.0;
                if takes {
                    self.tokens -= 1.0;
                }
                takes
            }
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        lock(&self.limiter.0).at_once -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_let_in_at_once() {
        let limiter = Limiter::at_once(2).retry_after(7);
        let first = limiter.enter().unwrap();
        let _second = limiter.enter().unwrap();
        assert_eq!(limiter.enter().unwrap_err().0, Some(7));
        drop(first);
        let _third = limiter.enter().unwrap();
        assert_eq!((limiter.let_in(), limiter.refused()), (3, 1));
        limiter.scale(2.0);
        let _fourth = limiter.enter().unwrap();
    }

    #[test]
    fn a_rate_lets_in_a_burst_and_no_more() {
        let limiter = Limiter::rate(1e-6, 3.0);
        let let_in = (0..10).filter(|_| limiter.enter().is_ok()).count();
        assert_eq!((let_in, limiter.refused()), (3, 7));
    }
}
