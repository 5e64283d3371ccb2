use crate::report::words;

/// An axis from 0 to `max`, with round ticks.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    /// The highest value.
    pub(super) max: f64,
    /// Values with their labels.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Scale {
    /// Of seconds, that ends where they end.
    pub(super) fn time(seconds: f64) -> Self {
        let max = if seconds > 0.0 { seconds } else { 0.001 };
        let (unit, name) = match max {
            short if short < 0.001 => (1e-6, "µs"),
            short if short < 1.0 => (0.001, "ms"),
            some if some < 180.0 => (1.0, "s"),
            some if some < 3.0 * 3600.0 => (60.0, "min"),
            some if some < 72.0 * 3600.0 => (3600.0, "h"),
            _ => (86400.0, "d"),
        };
        let ticks = round(max / unit, 9.0);
        let label = |value: f64| format!("{} {name}", short(value));
        Self {
            max,
            ticks: ticks.map(|value| (value * unit, label(value))).collect(),
        }
    }

    /// Of bytes, or of bytes a second, that ends on a tick.
    pub(super) fn bytes(max: f64, suffix: &str) -> Self {
        let mut unit = 1.0;
        let mut names = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].into_iter();
        let mut name = names.next().unwrap_or_default();
        while max / unit >= 1000.0
            && let Some(next) = names.next()
        {
            unit *= 1024.0;
            name = next;
        }
        Self::up(max, unit, &format!(" {name}{suffix}"))
    }

    /// Of things, that ends on a tick.
    pub(super) fn count(max: f64) -> Self {
        Self::up(max, 1.0, "")
    }

    fn up(max: f64, unit: f64, suffix: &str) -> Self {
        let max = if max > 0.0 { max / unit } else { 1.0 };
        let step = step(max, 4.0);
        let top = (max / step).ceil() * step;
        let ticks = round(top, 4.0);
        let label = |value: f64| match value {
            0.0 => "0".to_owned(),
            value => format!("{}{suffix}", short(value)),
        };
        Self {
            max: top * unit,
            ticks: ticks.map(|value| (value * unit, label(value))).collect(),
        }
    }
}

/// A round step that makes about `many` ticks.
fn step(max: f64, many: f64) -> f64 {
    let rough = max / many;
    let power = 10f64.powf(rough.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0];
    let times = times
        .into_iter()
        .find(|times| times * power >= rough * 0.999);
    times.unwrap_or(10.0) * power
}

fn round(max: f64, many: f64) -> impl Iterator<Item = f64> {
    let step = step(max, many);
    let last = (max / step + 0.001).floor().min(50.0) as u32;
    (0..=last).map(move |number| f64::from(number) * step)
}

/// Without zeros at its end.
fn short(value: f64) -> String {
    if value >= 10_000.0 {
        return words::count(value as u64);
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::Scale;

    fn labels(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|(_, label)| &**label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(
            labels(&Scale::time(4.4)).join(","),
            "0 s,0.5 s,1 s,1.5 s,2 s,2.5 s,3 s,3.5 s,4 s"
        );
        assert_eq!(labels(&Scale::time(0.03)).len(), 7);
        assert_eq!(labels(&Scale::time(300.0))[1], "1 min");
        let bytes = Scale::bytes(3.2 * 1024.0 * 1024.0, "/s");
        assert_eq!(
            labels(&bytes),
            ["0", "1 MiB/s", "2 MiB/s", "3 MiB/s", "4 MiB/s"]
        );
        assert_eq!(bytes.max, 4.0 * 1024.0 * 1024.0);
        assert_eq!(labels(&Scale::count(0.0)), ["0", "0.5", "1"]);
    }

    #[test]
    fn any_number_has_a_scale() {
        for number in [0.0, 1e-9, 1.0, 999.9, 1e12, 1.8e19, 1e300] {
            for scale in [
                Scale::time(number),
                Scale::bytes(number, ""),
                Scale::count(number),
            ] {
                assert!(scale.max >= number && scale.max.is_finite(), "{number}");
                assert!((1..=51).contains(&scale.ticks.len()), "{number}");
            }
        }
    }
}
