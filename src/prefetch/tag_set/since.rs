use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// How old a tag may be: from a day on, `2026-03-01` (in UTC), from a moment on,
/// `2026-03-01T12:00:00Z`, or for so long, `90d`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Since {
    /// Not from before this moment.
    Moment(Timestamp),
    /// Not older than this.
    Ago(SignedDuration),
}

impl Since {
    /// The moment, counted from `now`.
    pub fn counted_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Moment(moment) => moment,
            Self::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::MIN),
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(moment) = text.parse::<Timestamp>() {
            return Ok(Self::Moment(moment));
        }
        if let Ok(day) = text.parse::<Date>() {
            let midnight = day.to_zoned(TimeZone::UTC);
            let midnight = midnight.map_err(|error| error.to_string())?;
            return Ok(Self::Moment(midnight.timestamp()));
        }
        let ago = humantime::parse_duration(text).map_err(|error| error.to_string())?;
        let ago = SignedDuration::try_from(ago).map_err(|error| error.to_string())?;
        Ok(Self::Ago(ago))
    }
}

/// A moment as people write it: the day alone where it is midnight.
pub(super) struct Written(pub(super) Timestamp);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.0.to_zoned(TimeZone::UTC);
        match time.time() == jiff::civil::Time::midnight() {
            true => write!(f, "{}", time.date()),
            false => write!(f, "{}", time.strftime("%Y-%m-%d %H:%M")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_days_moments_and_durations() {
        let now: Timestamp = "2026-06-30T12:00:00Z".parse().unwrap();
        for (text, moment) in [
            ("2026-03-01", "2026-03-01"),
            ("2026-03-01T10:30:00+02:00", "2026-03-01 08:30"),
            ("90d", "2026-04-01 12:00"),
            ("12h", "2026-06-30"),
            ("30000years", "-9999-01-02 01:59"),
        ] {
            let since: Since = text.parse().unwrap();
            assert_eq!(Written(since.counted_from(now)).to_string(), moment);
        }
        for wrong in ["", "yesterday", "2026-13-01", "01.03.2026", "-3d"] {
            assert!(wrong.parse::<Since>().is_err(), "{wrong}");
        }
    }
}
