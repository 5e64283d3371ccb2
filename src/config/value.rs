//! What a value of `proxy.toml` may be. Each type reads a string and says what it wanted instead.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::num::NonZeroU64;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Deserialize;
use serde::Deserializer;
use serde::de;
use toml::Spanned;
use url::Url;

use crate::flow::OnDisconnect;
use crate::oci::UpstreamName;
use crate::registry::Rate;
use crate::target::Complete;
use crate::target::Place;

/// A value that is written as a string.
pub(super) trait Written: Sized {
    /// What it must be, with an example.
    const WANTED: &'static str;

    /// Reads it; the error completes the sentence "this is not ...".
    fn read(text: &str) -> Result<Self, String>;
}

/// How long something is believed; may be 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ttl(pub(super) Duration);

/// How long to wait; more than 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait(pub(super) Duration);

/// A number of bytes, more than 0; `None` for no limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit(pub(super) Option<u64>);

/// An address to listen on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address(pub(super) SocketAddr);

/// An address to listen on, or `off`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switch(pub(super) Option<SocketAddr>);

/// Where a registry is.
#[derive(Clone, Debug)]
pub(super) struct Location(pub(super) Url);

/// What clients call an upstream.
#[derive(Clone, Debug)]
pub(super) struct Called(pub(super) UpstreamName);

/// A pattern of repository names.
#[derive(Clone, Debug)]
pub(super) struct Pattern(pub(super) String);

/// `finish` or `abort`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving(pub(super) OnDisconnect);

/// `all` or `requested`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completeness(pub(super) Complete);

/// Which repository of a target is whose.
#[derive(Clone, Debug)]
pub(super) struct Template(pub(super) Place);

/// One value, or a list of them.
#[derive(Clone, Debug)]
pub(super) struct OneOrMore<T>(pub(super) Vec<T>);

/// One value, or a list of them, each with its place.
#[derive(Clone, Debug)]
pub(super) struct Several<T>(pub(super) Vec<Spanned<T>>);

/// How many bytes a second; more than 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bandwidth(pub(super) NonZeroU64);

/// How many; at least 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count(pub(super) usize);

/// How many; 1 to [`FEW`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Few(pub(super) usize);

/// The most of what there are few of.
const FEW: usize = 16;

/// So many requests in a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace(pub(super) Rate);

impl Written for Ttl {
    const WANTED: &'static str = r#"a duration such as "30s", "5m" or "1h 30m""#;

    fn read(text: &str) -> Result<Self, String> {
        let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
        if duration > LONGEST {
            return Err("it is longer than 10 years".to_owned());
        }
        Ok(Self(duration))
    }
}

/// Durations are added to the time of day, which has an end.
const LONGEST: Duration = Duration::from_secs(3660 * 24 * 60 * 60);

impl Written for Wait {
    const WANTED: &'static str = Ttl::WANTED;

    fn read(text: &str) -> Result<Self, String> {
        match Ttl::read(text)?.0 {
            Duration::ZERO => Err("it must be more than 0".to_owned()),
            duration => Ok(Self(duration)),
        }
    }
}

impl Written for Limit {
    const WANTED: &'static str = r#"a size such as "10GiB" or "500MB", or "unlimited""#;

    fn read(text: &str) -> Result<Self, String> {
        if text == "unlimited" {
            return Ok(Self(None));
        }
        let size = text.parse::<bytesize::ByteSize>();
        match size.map_err(|_| "there is no such size")?.as_u64() {
            0 => Err("it must be more than 0".to_owned()),
            bytes => Ok(Self(Some(bytes))),
        }
    }
}

impl Written for Pace {
    const WANTED: &'static str =
        r#"a number of requests in a time, such as "100/s", "6000/m" or "100/6h""#;

    fn read(text: &str) -> Result<Self, String> {
        let (requests, time) = text.split_once('/').ok_or("there is no slash in it")?;
        let requests = requests.trim().parse::<u32>();
        let requests = requests.map_err(|_| "there is no whole number before the slash")?;
        let requests = NonZeroU32::new(requests).ok_or("it must be more than 0")?;
        let time = time.trim();
        let one = if time.starts_with(|it: char| it.is_ascii_digit()) {
            ""
        } else {
            "1"
        };
        let Wait(per) = Wait::read(&format!("{one}{time}"))?;
        Ok(Self(Rate { requests, per }))
    }
}

impl Written for Bandwidth {
    const WANTED: &'static str = r#"a number of bytes a second, such as "50MiB/s""#;

    fn read(text: &str) -> Result<Self, String> {
        let size = text.strip_suffix("/s").ok_or("there is no /s at its end")?;
        let size = size.trim_end().parse::<bytesize::ByteSize>();
        let bytes = size.map_err(|_| "there is no such size")?.as_u64();
        let bytes = NonZeroU64::new(bytes).ok_or("it must be more than 0")?;
        Ok(Self(bytes))
    }
}

impl Written for Address {
    const WANTED: &'static str =
        r#"an IP address with a port, such as "127.0.0.1:5000", "0.0.0.0:5000" or "[::1]:5000""#;

    fn read(text: &str) -> Result<Self, String> {
        let address = text.parse::<SocketAddr>();
        Ok(Self(address.map_err(|error| error.to_string())?))
    }
}

impl Written for Switch {
    const WANTED: &'static str = r#"an IP address with a port, such as "127.0.0.1:5001", or "off""#;

    fn read(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        Ok(Self(Some(Address::read(text)?.0)))
    }
}

impl Written for Location {
    const WANTED: &'static str = r#"a URL such as "https://registry.example.com""#;

    fn read(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        let wrong = if !matches!(url.scheme(), "http" | "https") {
            Some("it must begin with https:// or http://")
        } else if !url.username().is_empty() || url.password().is_some() {
            Some("a user or password does not belong into it; use `credentials`")
        } else if url.query().is_some() || url.fragment().is_some() {
            Some("it can have neither a query nor a fragment")
        } else {
            None
        };
        wrong.map_or(Ok(Self(url)), |wrong| Err(wrong.to_owned()))
    }
}

impl Written for Called {
    const WANTED: &'static str =
        r#"a registry's name as clients write it, such as "docker.io" or "localhost:5000""#;

    fn read(text: &str) -> Result<Self, String> {
        let name = text.parse::<UpstreamName>();
        Ok(Self(name.map_err(|error| error.to_string())?))
    }
}

impl Written for Pattern {
    const WANTED: &'static str = r#"a pattern such as "library/*" or "ci-*""#;

    fn read(text: &str) -> Result<Self, String> {
        globset::Glob::new(text).map_err(|error| error.kind().to_string())?;
        Ok(Self(text.to_owned()))
    }
}

impl Written for Leaving {
    const WANTED: &'static str = r#""finish" or "abort""#;

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "finish" => Ok(Self(OnDisconnect::Finish)),
            "abort" => Ok(Self(OnDisconnect::Abort)),
            _ => Err("there is no such choice".to_owned()),
        }
    }
}

impl Written for Completeness {
    const WANTED: &'static str = r#""all" or "requested""#;

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self(Complete::All)),
            "requested" => Ok(Self(Complete::Requested)),
            _ => Err("there is no such choice".to_owned()),
        }
    }
}

impl Written for Template {
    const WANTED: &'static str =
        r#"a template of repository names such as "mirror/{upstream}/{repository}""#;

    fn read(text: &str) -> Result<Self, String> {
        let place = Place::parse(text).map_err(|error| error.to_string())?;
        Ok(Self(place))
    }
}

pub(super) struct Reader<T>(pub(super) PhantomData<T>);

impl<T: Written> de::Visitor<'_> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WANTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::read(text).map_err(|problem| E::custom(format!("{problem}; this must be {}", T::WANTED)))
    }
}

macro_rules! written {
    ($($type:ty),+ $(,)?) => {
        $(impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::config::value::Reader::<Self>(std::marker::PhantomData))
            }
        })+
    };
}
pub(super) use written;
written!(
    Ttl,
    Wait,
    Limit,
    Pace,
    Address,
    Switch,
    Location,
    Called,
    Pattern,
    Leaving,
    Completeness,
    Template,
    Bandwidth,
);

impl<'de> Deserialize<'de> for Few {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = i64::deserialize(deserializer)?;
        let count = usize::try_from(count).ok();
        count
            .filter(|count| (1..=FEW).contains(count))
            .map(Self)
            .ok_or_else(|| de::Error::custom(format!("this must be 1 to {FEW}")))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = i64::deserialize(deserializer)?;
        let count = usize::try_from(count).ok().and_then(NonZeroUsize::new);
        count
            .map(|count| Self(count.get()))
            .ok_or_else(|| de::Error::custom("this must be 1 or more"))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Either<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or a list of strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
                Ok(vec![T::deserialize(de::value::StrDeserializer::new(text))?])
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, entries: A) -> Result<Vec<T>, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(entries))
            }
        }
        Ok(Self(deserializer.deserialize_any(Either(PhantomData))?))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Several<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let either = Spanned::<Either<T>>::deserialize(deserializer)?;
        let span = either.span();
        Ok(Self(match either.into_inner() {
            Either::One(one) => vec![Spanned::new(span, one)],
            Either::List(list) => list,
        }))
    }
}

enum Either<T> {
    One(T),
    List(Vec<Spanned<T>>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Either<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
            type Value = Either<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or a list of strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Either<T>, E> {
                let one = T::deserialize(de::value::StrDeserializer::new(text))?;
                Ok(Either::One(one))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, entries: A) -> Result<Either<T>, A::Error> {
                let list = Vec::deserialize(de::value::SeqAccessDeserializer::new(entries))?;
                Ok(Either::List(list))
            }
        }
        deserializer.deserialize_any(Visitor(PhantomData))
    }
}
