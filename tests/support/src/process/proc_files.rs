//! What the kernel says of a process in `/proc`.

use std::fs;

/// The kernel's clock ticks in a second, as `/proc` counts them (`USER_HZ`): 100 on every Linux
/// that Rust runs on.
const TICKS: f64 = 100.0;

/// The most memory that the process ever had (`VmHWM`), in bytes; 0 where there is none.
pub(super) fn peak_rss(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// How many file descriptors the process has open; 0 where there is none.
pub(super) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// User and system time of the process, in seconds; 0 where there is none.
pub(super) fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold spaces: fields are counted from its end, from the 3rd on.
    let fields = stat
        .rsplit_once(')')
        .map(|(_, fields)| fields)
        .unwrap_or_default();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |number: usize| fields.get(number - 3).and_then(|it| it.parse::<f64>().ok());
    (ticks(14).unwrap_or_default() + ticks(15).unwrap_or_default()) / TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_our_own_numbers() {
        assert!(peak_rss(std::process::id()) > 100_000);
        let begin = std::time::Instant::now();
        while begin.elapsed().as_millis() < 60 {
            std::hint::black_box(begin);
        }
        assert!(cpu_seconds(std::process::id()) > 0.0);
        assert_eq!(peak_rss(u32::MAX), 0);
        assert!(descriptors(std::process::id()) >= 3);
        assert_eq!(descriptors(u32::MAX), 0);
        assert!(cpu_seconds(u32::MAX) == 0.0);
    }
}
