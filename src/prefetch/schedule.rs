use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use croner::parser::CronParser;
use croner::parser::Seconds;
use croner::parser::Year;
use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::Zoned;
use jiff::tz::TimeZone;

/// When a set is run by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// When it is due.
    pub when: When,
    /// By how much a run may begin later than it is due, at random, so that many sets, or many
    /// proxies, don't all begin in the same second; `None` for a tenth of the time between two runs,
    /// and five minutes at most.
    pub jitter: Option<Duration>,
}

/// When something is due.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// At these times.
    Cron(Cron),
    /// So long after the last run began; more than 0.
    Every(Duration),
}

/// Times, as `crontab(5)` has them: minute, hour, day of the month, month, day of the week.
#[derive(Clone)]
pub struct Cron {
    text: Arc<str>,
    pattern: Arc<croner::Cron>,
}

/// The jitter where nothing else is said: this part of the time between two runs.
const USUAL_SHARE: u32 = 10;
/// The most of it.
const USUAL_MOST: Duration = Duration::from_secs(5 * 60);

impl Schedule {
    /// When it is due next, `zone` being the time zone of its hours, where the last run began at
    /// `last`, and it is `now`. What is due already is due now, once, however often it was missed;
    /// what has never run is due now. `None` where it is never due again.
    pub fn due(
        &self,
        last: Option<Timestamp>,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Option<Timestamp> {
        let Some(last) = last else { return Some(now) };
        // The clock was set back since.
        let last = last.min(now);
        let due = match &self.when {
            When::Every(pause) => last.checked_add(signed(*pause)).ok(),
            When::Cron(cron) => cron.after(last, zone),
        };
        due.map(|due| due.max(now))
    }

    /// By how much a run that is due at `due` may begin later.
    pub fn leeway(&self, due: Timestamp, zone: &TimeZone) -> Duration {
        if let Some(jitter) = self.jitter {
            return jitter;
        }
        let pause = match &self.when {
            When::Every(pause) => *pause,
            When::Cron(cron) => cron.after(due, zone).map_or(USUAL_MOST, |next| {
                Duration::try_from(next.duration_since(due)).unwrap_or_default()
            }),
        };
        (pause / USUAL_SHARE).min(USUAL_MOST)
    }
}

impl Cron {
    /// The first time after `time`. A time that the clock skips, as it is put forward in spring, is
    /// the first one after the gap; one that is there twice is taken once. `None` where there is none.
    fn after(&self, time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let time = time.to_zoned(zone.clone());
        let next = self.pattern.find_next_occurrence(&time, false).ok();
        next.as_ref().map(Zoned::timestamp)
    }
}

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let pattern = parser.parse(text).map_err(|error| error.to_string())?;
        let cron = Self {
            text: text.trim().into(),
            pattern: Arc::new(pattern),
        };
        // February 30th, and the like.
        match cron.after(Timestamp::UNIX_EPOCH, &TimeZone::UTC) {
            Some(_) => Ok(cron),
            None => Err("there is no such time".to_owned()),
        }
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cron").field(&self.text).finish()
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.when {
            When::Cron(cron) => f.write_str(&cron.text),
            When::Every(pause) => write!(f, "every {}", humantime::format_duration(*pause)),
        }
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests;
