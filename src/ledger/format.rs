//! How a journal writes what has no form of its own in JSON.

/// RFC 3339, UTC, to the microsecond.
pub(super) mod time {
    use std::time::SystemTime;

    use serde::Deserialize as _;
    use serde::Deserializer;
    use serde::Serializer;
    use serde::de::Error as _;

    pub(in crate::ledger) fn serialize<S: Serializer>(
        time: &SystemTime,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_rfc3339_micros(*time))
    }

    pub(in crate::ledger) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<SystemTime, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        humantime::parse_rfc3339(&text)
            .map_err(|error| D::Error::custom(format!("'{text}': {error}")))
    }
}

/// A duration in whole microseconds.
pub(super) mod micros {
    use std::time::Duration;

    use serde::Deserialize as _;
    use serde::Deserializer;
    use serde::Serializer;

    pub(in crate::ledger) fn serialize<S: Serializer>(
        duration: &Duration,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_u64(whole(*duration))
    }

    pub(in crate::ledger) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_micros)
    }

    pub(super) fn whole(duration: Duration) -> u64 {
        u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
    }
}

/// A duration in whole microseconds, or `null`.
pub(super) mod some_micros {
    use std::time::Duration;

    use serde::Deserialize as _;
    use serde::Deserializer;
    use serde::Serialize as _;
    use serde::Serializer;

    pub(in crate::ledger) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(super::micros::whole).serialize(to)
    }

    pub(in crate::ledger) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_micros))
    }
}

/// An HTTP method by its name.
pub(super) mod method {
    use http::Method;
    use serde::Deserialize as _;
    use serde::Deserializer;
    use serde::Serializer;
    use serde::de::Error as _;

    pub(in crate::ledger) fn serialize<S: Serializer>(
        method: &Method,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(method.as_str())
    }

    pub(in crate::ledger) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Method, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse()
            .map_err(|_| D::Error::custom(format!("'{text}' is no HTTP method")))
    }
}
