use super::words;

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// A number of things.
    Count(u64),
    /// A number of bytes.
    Bytes(u64),
    /// A number of things that may be below zero.
    Less(i64),
    /// A number of bytes that may be below zero.
    LessBytes(i64),
    /// A time, in seconds.
    Seconds(f64),
    /// A part of a whole, from 0 to 1.
    Part(f64),
}

impl Value {
    /// For a person.
    pub(super) fn for_people(self) -> String {
        match self {
            Self::Count(number) => words::count(number),
            Self::Bytes(number) => words::bytes(number as f64),
            Self::Less(number) if number < 0 => format!("-{}", words::count(number.unsigned_abs())),
            Self::Less(number) => words::count(number.unsigned_abs()),
            Self::LessBytes(number) => words::bytes(number as f64),
            Self::Seconds(number) => words::seconds(number),
            Self::Part(number) => format!("{:.1} %", number * 100.0),
        }
    }

    /// For a program: no unit, no separators; whole numbers where they are counted.
    pub(super) fn raw(self) -> serde_json::Number {
        let float = |number| serde_json::Number::from_f64(number).unwrap_or_else(|| 0.into());
        match self {
            Self::Count(number) | Self::Bytes(number) => number.into(),
            Self::Less(number) | Self::LessBytes(number) => number.into(),
            Self::Seconds(number) | Self::Part(number) => float(number),
        }
    }

    /// What it is in proportion to `first`; `None` where that says nothing.
    pub(super) fn ratio(self, first: Self) -> Option<f64> {
        if matches!(self, Self::Part(_) | Self::Less(_) | Self::LessBytes(_)) {
            return None;
        }
        let (own, first) = (self.number(), first.number());
        (first > 0.0).then(|| own / first)
    }

    /// As a number, in its unit.
    pub(super) fn number(self) -> f64 {
        match self {
            Self::Count(number) | Self::Bytes(number) => number as f64,
            Self::Less(number) | Self::LessBytes(number) => number as f64,
            Self::Seconds(number) | Self::Part(number) => number,
        }
    }
}

/// What `whole` is more than `part`.
pub(super) fn saved(whole: u64, part: u64) -> i64 {
    let saved = i128::from(whole) - i128::from(part);
    saved.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// A part of a whole, where there is one.
pub(super) fn part(part: u64, whole: u64) -> Option<Value> {
    (whole > 0).then(|| Value::Part(part as f64 / whole as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_to_something() {
        assert_eq!(Value::Count(5).ratio(Value::Count(10)), Some(0.5));
        assert_eq!(Value::Count(5).ratio(Value::Count(0)), None);
        assert_eq!(Value::Part(0.5).ratio(Value::Part(0.1)), None);
    }

    #[test]
    fn a_saving_may_be_a_loss() {
        assert_eq!(saved(10, 4), 6);
        assert_eq!(saved(4, 10), -6);
        assert_eq!(saved(u64::MAX, 0), i64::MAX);
        assert_eq!(Value::Less(-1234).for_people(), "-1,234");
        assert_eq!(Value::LessBytes(-2048).for_people(), "-2.00 KiB");
    }
}
