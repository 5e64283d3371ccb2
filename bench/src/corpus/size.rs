//! Sizes as people write them: `150 B`, `40 kB`, `3.6 MB`, `1 GB`; powers of ten.

use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error;

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| {
            let form = "a number and one of B, kB, MB and GB, such as \"40 kB\"";
            D::Error::custom(format!("'{text}' is no size: it must be {form}"))
        })
    }
}

fn parse(text: &str) -> Option<Size> {
    let (number, unit) = text.split_once(' ')?;
    let unit = match unit {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    let is_some = number.is_finite() && number > 0.0;
    is_some.then_some(Size((number * unit).round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse("150 B"), Some(Size(150)));
        assert_eq!(parse("3.6 MB"), Some(Size(3_600_000)));
        assert_eq!(parse("1 GB"), Some(Size(1_000_000_000)));
        for wrong in [
            "", "1", "1GB", "1 KB", "1 gb", "-1 kB", "0 B", "inf B", "x MB",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
