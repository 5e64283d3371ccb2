//! A request's body on its way in: paced, held, cut or answered early as the plan says, and counted.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::fault::Plan;
use crate::gate::Gate;
use crate::server::body::Exchange;
use crate::server::intake::Intake;
use crate::server::wire::Kill;

/// What a body's taking depends on.
pub(super) struct Taking<'a> {
    pub(super) exchange: &'a Exchange,
    pub(super) plan: &'a Plan,
    pub(super) kill: &'a Kill,
}

impl Taking<'_> {
    /// Adds the body to `intake`. `None` where it broke off, or an answer is due before its end.
    pub(super) async fn take(&self, mut body: Incoming, mut intake: Intake) -> Option<Intake> {
        let mut pace = Pace::new(self.plan);
        let (mut taken, mut spare) = (0, Bytes::new());
        loop {
            pace.wait(taken).await;
            if let Some((_, cut)) = self.plan.cut_taking_after.filter(|(at, _)| *at <= taken) {
                self.kill.arm(cut);
                return std::future::pending().await;
            }
            if self.plan.early.is_some_and(|at| at <= taken) {
                tokio::spawn(throw_away(body));
                return None;
            }
            if spare.is_empty() {
                spare = match body.frame().await {
                    None => return Some(intake),
                    Some(Err(_)) => return None,
                    Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                };
            }
            let step = spare.split_to(pace.step(taken).min(spare.len() as u64) as usize);
            taken += step.len() as u64;
            intake.add(step);
            self.exchange.log.update(&self.exchange.entry, |recorded| {
                recorded.request_bytes = taken;
            });
        }
    }
}

/// Reads on until the client ends it: whoever closes with bytes unread takes its own answer back,
/// by a reset.
async fn throw_away(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// When the next bytes are read, and how many.
struct Pace {
    hold: Option<(u64, Gate)>,
    slow: Option<u64>,
    began: Instant,
    /// Places in the body where something is due.
    stops: Vec<u64>,
}

impl Pace {
    fn new(plan: &Plan) -> Self {
        let hold = plan.hold_taking_after.clone();
        let cut = plan.cut_taking_after.map(|(at, _)| at);
        let stops = [hold.as_ref().map(|(at, _)| *at), cut, plan.early];
        Self {
            hold,
            slow: plan.take_slowly,
            began: Instant::now(),
            stops: stops.into_iter().flatten().collect(),
        }
    }

    async fn wait(&mut self, taken: u64) {
        if let Some((_, gate)) = self.hold.take_if(|(at, _)| *at <= taken) {
            gate.opened().await;
        }
        if let Some(speed) = self.slow {
            let due = Duration::from_secs_f64(taken as f64 / speed as f64);
            tokio::time::sleep_until(self.began + due).await;
        }
    }

    /// How many bytes may be taken before the next thing happens.
    fn step(&self, taken: u64) -> u64 {
        let left = self.stops.iter().filter_map(|at| at.checked_sub(taken));
        let left = left.filter(|left| *left > 0).min().unwrap_or(u64::MAX);
        self.slow
            .map_or(left, |speed| left.min((speed / 50).max(1)))
    }
}
