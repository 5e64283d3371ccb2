use std::cmp::Ordering;

/// What makes one tag later than another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Its version.
    Semver,
    /// Its name, in which numbers count as numbers: `v9` comes before `v10`.
    Name,
    /// When it was pushed, else when its image was built.
    Date,
}

/// Compares names as people do: numbers in them by value.
pub fn naturally(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one, other);
    loop {
        let (a, rest_a) = part(left);
        let (b, rest_b) = part(right);
        let found = match (number(a), number(b)) {
            (Some(x), Some(y)) => x.len().cmp(&y.len()).then_with(|| x.cmp(y)),
            _ => a.cmp(b),
        };
        if found != Ordering::Equal {
            return found;
        }
        if a.is_empty() && b.is_empty() {
            // The same but for zeros in front: still an order, and the same each time.
            return one.cmp(other);
        }
        (left, right) = (rest_a, rest_b);
    }
}

/// The first number, or all before the first number.
fn part(text: &str) -> (&str, &str) {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != is_number);
    text.split_at(end.unwrap_or(text.len()))
}

/// Digits without zeros in front.
fn number(part: &str) -> Option<&str> {
    let is_number = part.starts_with(|c: char| c.is_ascii_digit());
    is_number.then(|| part.trim_start_matches('0'))
}

impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Semver => "semver",
            Self::Name => "name",
            Self::Date => "date",
        })
    }
}

impl std::str::FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "semver" => Self::Semver,
            "name" => Self::Name,
            "date" => Self::Date,
            _ => return Err("there is no such choice".to_owned()),
        })
    }
}
