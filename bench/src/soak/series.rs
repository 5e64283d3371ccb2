//! What one process has open and holds, over its time.

use std::fs;
use std::time::Duration;

/// One look at the process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Since the process came up.
    pub(crate) at: Duration,
    /// Resident memory, in KiB.
    pub(crate) rss: u64,
    /// What of it is no file, in KiB.
    pub(crate) anonymous: u64,
    /// Open descriptors.
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
}

impl Sample {
    /// Looks at the process now; all is 0 where there is none.
    pub(crate) fn take(pid: u32, at: Duration) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let number = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            line.trim_start_matches(':')
                .split_whitespace()
                .next()?
                .parse::<u64>()
                .ok()
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        Self {
            at,
            rss: number("VmRSS").unwrap_or(0),
            anonymous: number("RssAnon").unwrap_or(0),
            descriptors: descriptors as u64,
            threads: number("Threads").unwrap_or(0),
        }
    }
}

/// At rest, a process may hold so much more at the end than early on: caches fill, and an
/// allocator keeps pages.
const MORE_MEMORY: u64 = 16 << 10;
/// As of descriptors: a few that libraries open once.
const MORE_DESCRIPTORS: u64 = 8;

/// What grew between two looks at a process at rest, in words.
pub(crate) fn growth(early: Sample, late: Sample) -> Option<String> {
    if late.descriptors > early.descriptors + MORE_DESCRIPTORS {
        let (early, late) = (early.descriptors, late.descriptors);
        return Some(format!(
            "at rest it had {early} descriptors open early on, and {late} at the end"
        ));
    }
    let allowed = early.anonymous + early.anonymous / 4 + MORE_MEMORY;
    if late.anonymous > allowed {
        let (early, late) = (early.anonymous / 1024, late.anonymous / 1024);
        return Some(format!(
            "at rest it held {early} MiB early on, and {late} MiB at the end"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_itself_and_what_grew() {
        let me = Sample::take(std::process::id(), Duration::ZERO);
        assert!(
            me.rss > 500 && me.descriptors > 2 && me.threads > 0,
            "{me:?}"
        );
        assert_eq!(growth(me, me), None);
        let descriptors = me.descriptors + 9;
        assert!(growth(me, Sample { descriptors, ..me }).is_some());
        let anonymous = me.anonymous * 2 + (20 << 10);
        assert!(growth(me, Sample { anonymous, ..me }).is_some());
    }
}
