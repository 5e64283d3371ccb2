//! What becomes of an errand that failed, and what a person can do about it.

use std::time::Duration;

use super::Error;
use super::Missing;
use crate::registry;

/// What becomes of an errand that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is never done.
    GiveUp,
    /// It is tried again after its own pause.
    Again {
        /// The first pause; each is twice the one before.
        pause: Duration,
    },
    /// As soon as its content is to be had: when it is pulled again, else after its own pause.
    Supply,
    /// As soon as the target does again what it is asked.
    Outage {
        /// Not before this is over, where the target said so.
        at_least: Option<Duration>,
    },
    /// As soon as something else is there.
    Waits,
}

const SOON: Duration = Duration::from_secs(1);
/// For what somebody has to change first.
const LATER: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(15 * 60);

impl Verdict {
    /// By what went wrong.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::NoTarget(_) | Error::NotTaken(_) | Error::Place(_) => Self::GiveUp,
            Error::Missing(Missing::Gone(_)) => Self::GiveUp,
            Error::Missing(Missing::Later(_)) => Self::Supply,
            Error::Out(_) => Self::Outage { at_least: None },
            Error::Waits { .. } => Self::Waits,
            Error::Registry { error, .. } => Self::of_registry(error),
            Error::State(_) | Error::GivenUp(_) => Self::Again { pause: SOON },
        }
    }

    fn of_registry(error: &registry::Error) -> Self {
        use registry::Error as E;
        match error {
            E::Unreachable(_) | E::TimedOut(_) | E::Refused { status: 401, .. } => {
                Self::Outage { at_least: None }
            }
            E::Throttled { retry_after } => Self::Outage {
                at_least: *retry_after,
            },
            E::Status {
                status: 502..=504 | 507,
                ..
            } => Self::Outage { at_least: None },
            E::Refused { .. } | E::NotFound { .. } | E::Invalid { .. } | E::Config(_) => {
                Self::Again { pause: LATER }
            }
            E::Content(_) => Self::Supply,
            _ => Self::Again { pause: SOON },
        }
    }

    /// How long to wait before the next attempt, after `attempts` that failed: up to a quarter
    /// longer than that, so that not all come at once.
    pub(super) fn pause(self, attempts: u32) -> Duration {
        let first = match self {
            Self::Again { pause } => pause,
            Self::Waits => return super::platforms::PATIENCE,
            _ => SOON,
        };
        let doubled = first.saturating_mul(2u32.saturating_pow(attempts.saturating_sub(1)));
        doubled.min(LONGEST).mul_f64(1.0 + fastrand::f64() / 4.0)
    }
}

/// What to do about it; empty where nothing can be done but wait.
pub(super) fn advice(error: &registry::Error) -> &'static str {
    use registry::Error as E;
    match error {
        E::Refused { .. } => "check `credentials` of the target, and that they may push there",
        E::Status { status: 507, .. } => "the target has no room: make some there",
        E::Invalid { status: 413, .. } => {
            "the target, or a proxy before it, limits the size of uploads (nginx: \
             `client_max_body_size`)"
        }
        E::NotFound { code } if code == "NAME_UNKNOWN" => {
            "the target makes no repository by a push: create it there"
        }
        E::Unreachable(_) => "check `url` of the target and the way there",
        E::Config(_) => "check the `[[target]]`",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        let verdict = Verdict::Again { pause: SOON };
        for (attempts, seconds) in [(0, 1), (1, 1), (2, 2), (5, 16), (40, 900)] {
            let pause = verdict.pause(attempts).as_secs_f64() / f64::from(seconds);
            assert!((1.0..=1.25).contains(&pause), "{attempts}: {pause}");
        }
    }

    #[test]
    fn what_is_gone_is_given_up_and_a_full_target_is_out() {
        let gone = Error::Missing(Missing::Gone("x".into()));
        assert_eq!(Verdict::of(&gone), Verdict::GiveUp);
        let full = registry::Error::Status {
            status: 507,
            message: String::new(),
        };
        assert_eq!(
            Verdict::of_registry(&full),
            Verdict::Outage { at_least: None }
        );
        assert!(advice(&full).contains("no room"));
    }
}
