//! Single byte ranges (RFC 9110, 14.1.2).

/// What a `Range` header asks of content of a known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of it: no range, several at once, or none that is understood.
    Whole,
    /// The first byte, and how many.
    Part(u64, u64),
    /// Nothing that there is: 416.
    Nothing,
}

impl Asked {
    pub(crate) fn of(header: Option<&str>, length: u64) -> Self {
        let Some((first, last)) = header
            .and_then(|header| header.strip_prefix("bytes="))
            .and_then(|range| range.trim().split_once('-'))
        else {
            return Self::Whole;
        };
        match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first > last => Self::Whole,
            (Ok(first), _) if first >= length => Self::Nothing,
            (Ok(first), Ok(last)) => Self::Part(first, last.min(length - 1) - first + 1),
            (Ok(first), Err(_)) if last.is_empty() => Self::Part(first, length - first),
            (Err(_), Ok(0)) if first.is_empty() => Self::Nothing,
            (Err(_), Ok(_)) if first.is_empty() && length == 0 => Self::Nothing,
            (Err(_), Ok(last)) if first.is_empty() => {
                let count = last.min(length);
                Self::Part(length - count, count)
            }
            _ => Self::Whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_single_ranges() {
        let of = |range| Asked::of(Some(range), 10);
        assert_eq!(Asked::of(None, 10), Asked::Whole);
        assert_eq!(of("bytes=0-3"), Asked::Part(0, 4));
        assert_eq!(of("bytes=8-99"), Asked::Part(8, 2));
        assert_eq!(of("bytes=4-"), Asked::Part(4, 6));
        assert_eq!(of("bytes=-3"), Asked::Part(7, 3));
        assert_eq!(of("bytes=-30"), Asked::Part(0, 10));
        assert_eq!(of("bytes=10-"), Asked::Nothing);
        assert_eq!(of("bytes=-0"), Asked::Nothing);
        assert_eq!(of("bytes=0-1,4-5"), Asked::Whole);
        assert_eq!(of("bytes=5-2"), Asked::Whole);
        assert_eq!(of("lines=1-2"), Asked::Whole);
    }
}
