//! Quota headers: how many requests a registry still allows.

use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use http::HeaderMap;

/// What a registry last said of a limit of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Requests in a window of time.
    pub limit: Option<u64>,
    /// How many of them were left.
    pub remaining: u64,
    /// How long that window is.
    pub window: Option<Duration>,
    /// From `seen`, until there is a new quota.
    pub reset: Option<Duration>,
    /// Whom it counts: an address or an account, in the registry's words.
    pub source: Option<Arc<str>>,
    /// When it said so.
    pub seen: SystemTime,
}

/// A value from here on is a point in time, in seconds since 1970, and no duration.
const EPOCH: u64 = 1_000_000_000;

impl Quota {
    /// From `RateLimit-Limit`, `-Remaining` and `-Reset` (draft-ietf-httpapi-ratelimit-headers up
    /// to 06, and Docker Hub's), else from `X-RateLimit-*`; `None` where nothing is said of what
    /// remains.
    pub(super) fn of(headers: &HeaderMap, now: SystemTime) -> Option<Self> {
        let field = |names: [&str; 2]| {
            let mut values = names.iter().filter_map(|name| headers.get(*name));
            values.find_map(|value| Field::parse(value.to_str().ok()?))
        };
        let remaining = field(["ratelimit-remaining", "x-ratelimit-remaining"])?;
        let limit = field(["ratelimit-limit", "x-ratelimit-limit"]);
        let reset = field(["ratelimit-reset", "x-ratelimit-reset"]);
        let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH);
        let reset = reset.map(|reset| match reset.value {
            date if date >= EPOCH => date.saturating_sub(since_1970.map_or(0, |it| it.as_secs())),
            seconds => seconds,
        });
        let source = headers.get("docker-ratelimit-source");
        let source = source.and_then(|value| value.to_str().ok());
        Some(Self {
            limit: limit.map(|limit| limit.value),
            remaining: remaining.value,
            window: remaining.window.or(limit.and_then(|limit| limit.window)),
            reset: reset.map(Duration::from_secs),
            source: source.map(|source| source.chars().take(100).collect::<String>().into()),
            seen: now,
        })
    }

    /// Whether its window had ended by `now`: what was said before says nothing of the next one.
    pub fn is_over(&self, now: SystemTime) -> bool {
        let life = self.reset.or(self.window);
        let age = now.duration_since(self.seen).unwrap_or_default();
        life.is_some_and(|life| age >= life)
    }

    /// Whether less than one of `parts` equal parts is left.
    pub(super) fn is_below(&self, parts: u64, now: SystemTime) -> bool {
        let limit = self.limit.unwrap_or(0);
        !self.is_over(now) && self.remaining.saturating_mul(parts) < limit
    }
}

/// `100;w=21600`, or `100, 100;w=60, 5000;w=3600`, of which the first one is in force.
#[derive(Clone, Copy, Debug)]
struct Field {
    value: u64,
    window: Option<Duration>,
}

impl Field {
    fn parse(text: &str) -> Option<Self> {
        let mut items = text.split(',').map(Self::item);
        let first = items.next()??;
        let policy = items.flatten().find(|other| other.value == first.value);
        Some(Self {
            window: first.window.or(policy.and_then(|policy| policy.window)),
            ..first
        })
    }

    fn item(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let value = parts.next()?.parse().ok()?;
        let seconds = parts.find_map(|part| part.strip_prefix("w=")?.trim().parse().ok());
        Some(Self {
            value,
            window: seconds.map(Duration::from_secs),
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    fn read(headers: &[(&'static str, &str)]) -> Option<Quota> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        Quota::of(&headers, now())
    }

    fn seconds(number: u64) -> Option<Duration> {
        Some(Duration::from_secs(number))
    }

    #[test]
    fn reads_docker_hubs() {
        let quota = read(&[
            ("ratelimit-limit", "100;w=21600"),
            ("ratelimit-remaining", "76;w=21600"),
            ("docker-ratelimit-source", "192.0.2.1"),
        ])
        .unwrap();
        assert_eq!((quota.limit, quota.remaining), (Some(100), 76));
        assert_eq!((quota.window, quota.reset), (seconds(21_600), None));
        assert_eq!(quota.source.as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn reads_the_drafts_and_the_custom() {
        let draft = read(&[
            ("ratelimit-limit", "10, 10;w=1;burst=5, 50;w=60"),
            ("ratelimit-remaining", "9"),
            ("ratelimit-reset", "4"),
        ])
        .unwrap();
        assert_eq!((draft.limit, draft.remaining), (Some(10), 9));
        assert_eq!((draft.window, draft.reset), (seconds(1), seconds(4)));

        let custom = |reset| {
            read(&[
                ("x-ratelimit-limit", "60"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", reset),
            ])
            .unwrap()
        };
        assert_eq!((custom("30").limit, custom("30").remaining), (Some(60), 0));
        assert_eq!(custom("30").reset, seconds(30));
        assert_eq!(custom("1700000020").reset, seconds(20), "a date");
        assert_eq!(custom("1600000000").reset, seconds(0), "a date gone by");
        assert_eq!(custom("soon").reset, None);
    }

    #[test]
    fn says_nothing_without_a_number() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[("ratelimit-limit", "100")]), None);
        for bad in ["", "many", "-1", "1.5", "99999999999999999999", ";w=5", ","] {
            assert_eq!(read(&[("ratelimit-remaining", bad)]), None, "{bad}");
        }
        let odd = read(&[("ratelimit-remaining", "5;w=x;w=7")]).unwrap();
        assert_eq!(
            (odd.limit, odd.remaining, odd.window),
            (None, 5, seconds(7))
        );
    }

    #[test]
    fn is_low_until_its_window_ends() {
        let mut quota = read(&[
            ("ratelimit-limit", "100;w=60"),
            ("ratelimit-remaining", "9;w=60"),
        ])
        .unwrap();
        assert!(quota.is_below(10, now()));
        assert!(!quota.is_below(12, now()));
        assert!(quota.is_below(10, now() + Duration::from_secs(59)));
        assert!(!quota.is_below(10, now() + Duration::from_secs(60)));
        quota.limit = None;
        assert!(!quota.is_below(10, now()), "of how many?");
    }
}
