//! Figures and names, for people.

use std::borrow::Cow;
use std::time::Duration;

/// The longest name that is shown, in characters.
const LONGEST: usize = 300;

/// `text` without what could steer a terminal or turn the direction of what follows it: such
/// characters are written as `\u{..}`. Names come from whoever was talked to.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if text.len() <= LONGEST && !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len().min(LONGEST));
    for c in text.chars().take(LONGEST) {
        if steers(c) {
            plain.extend(c.escape_unicode());
        } else {
            plain.push(c);
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        plain.push('…');
    }
    Cow::Owned(plain)
}

/// `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.25 GiB`: three digits or four, in powers of 1024.
pub(super) fn bytes(number: f64) -> String {
    let mut value = number;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while value.abs() >= 1023.5
        && let Some(next) = units.next()
    {
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" {
        return format!("{value:.0} B");
    }
    format!("{} {unit}", digits(value))
}

/// `1.25 s`, `12.5 ms`, `3 min 20 s`.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        none if none <= 0.0 => "0 s".to_owned(),
        small if small < 0.000_999_5 => format!("{} µs", digits(small * 1e6)),
        small if small < 0.999_5 => format!("{} ms", digits(small * 1e3)),
        some if some < 119.5 => format!("{} s", digits(some)),
        long => {
            let whole = Duration::from_secs(long.round().min(1e15) as u64);
            humantime::format_duration(whole).to_string()
        }
    }
}

/// `0.52`, `12.3`, `345`: three digits.
pub(super) fn digits(value: f64) -> String {
    match value.abs() {
        small if small < 9.995 => format!("{value:.2}"),
        some if some < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(bytes(1023.0), "1023 B");
        assert_eq!(bytes(1024.0), "1.00 KiB");
        assert_eq!(bytes(-1536.0), "-1.50 KiB");
        assert_eq!(bytes(1_048_575.0), "1.00 MiB");
        assert_eq!(bytes(u64::MAX as f64), "16.0 EiB");
        assert_eq!(seconds(0.0), "0 s");
        assert_eq!(seconds(0.000_012), "12.0 µs");
        assert_eq!(seconds(0.999_9), "1.00 s");
        assert_eq!(seconds(61.25), "61.2 s");
        assert_eq!(seconds(200.0), "3m 20s");
    }

    #[test]
    fn names_steer_nothing() {
        assert_eq!(plain("docker.io/library/é"), "docker.io/library/é");
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\u{a}");
        assert_eq!(plain("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(plain(&"x".repeat(1000)).chars().count(), LONGEST + 1);
    }
}
