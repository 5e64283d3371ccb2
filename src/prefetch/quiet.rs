use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::ToSpan;
use jiff::civil::DateTime;
use jiff::civil::Time;
use jiff::tz::TimeZone;

/// Hours of each day in which nothing new is begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quiet(Vec<Hours>);

/// From one time of the day until another, `08:00-18:00`; `22:00-06:00` goes on over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    from: Time,
    until: Time,
}

impl Quiet {
    /// These hours.
    pub fn new(hours: Vec<Hours>) -> Self {
        Self(hours)
    }

    /// When it ends, where it is quiet at `now` by the clocks of `zone`. `None` where it is not, and
    /// where it would never end: hours that fill the day are no hours.
    pub fn ends(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut end = now;
        // Hours may adjoin, or overlap, each other: as many steps as there are hours, at most.
        for _ in 0..=self.0.len() {
            let local = zone.to_datetime(end);
            let latest = self.0.iter().filter_map(|hours| hours.end(local)).max();
            match latest.and_then(|end| zone.to_timestamp(end).ok()) {
                // What the clock skips, as it is put forward, is over when it is.
                Some(later) if later > end => end = later,
                _ => return (end > now).then_some(end),
            }
        }
        None
    }

    /// When it becomes quiet, or ceases to be, next after `now`.
    pub fn turns(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if let Some(end) = self.ends(now, zone) {
            return Some(end);
        }
        let local = zone.to_datetime(now);
        let begins = self.0.iter().filter_map(|hours| hours.begin(local));
        let begins = begins.filter_map(|begin| zone.to_timestamp(begin).ok());
        begins.min()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Hours {
    /// When they begin after `local`.
    fn begin(self, local: DateTime) -> Option<DateTime> {
        let day = match local.time() < self.from {
            true => local.date(),
            false => local.date().checked_add(1.day()).ok()?,
        };
        Some(day.to_datetime(self.from))
    }

    /// When they end, where `local` is in them.
    fn end(self, local: DateTime) -> Option<DateTime> {
        let (time, day) = (local.time(), local.date());
        let next = |time| Some(day.checked_add(1.day()).ok()?.to_datetime(time));
        if self.from < self.until {
            let is_in = self.from <= time && time < self.until;
            return is_in.then(|| day.to_datetime(self.until));
        }
        if time >= self.from {
            return next(self.until);
        }
        (time < self.until).then(|| day.to_datetime(self.until))
    }
}

impl FromStr for Hours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, until) = text
            .split_once('-')
            .ok_or("there is no '-' between two times")?;
        let hours = Self {
            from: clock(from)?,
            until: clock(until)?,
        };
        if hours.from == hours.until {
            return Err("it begins when it ends".to_owned());
        }
        Ok(hours)
    }
}

/// `18:00`; `24:00` is the midnight at the end of the day.
fn clock(text: &str) -> Result<Time, String> {
    let text = text.trim();
    if text == "24:00" {
        return Ok(Time::midnight());
    }
    let wrong = || format!("'{text}' is no time of the day");
    Time::strptime("%H:%M", text).map_err(|_| wrong())
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = (self.from, self.until);
        write!(f, "{}-{}", from.strftime("%H:%M"), until.strftime("%H:%M"))
    }
}

#[cfg(test)]
mod tests;
