//! What the kernel knows about a tree of processes, and what a list of samples says.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;

/// CPU time so far, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    /// Of the processes that were asked about.
    pub(crate) own: f64,
    /// Of all other processes but this one, those that it started and kernel threads, and what the host of a virtual
    /// machine took.
    pub(crate) foreign: f64,
}

/// What a system has spent, by the kernel's counters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// Processor time, in seconds; `None` for no system.
    pub(crate) cpu: Option<f64>,
    /// Bytes that went over the loopback device, headers included, whoever sent them.
    pub(crate) wire: f64,
    /// Bytes that were written to files (`write_bytes` of proc_pid_io(5)), whether they are on the
    /// disk yet or not; `None` for no system.
    pub(crate) written: Option<f64>,
}

impl Spent {
    /// By `root` and all below it, since they were started.
    pub(crate) fn so_far(root: Option<u32>) -> Self {
        let written = |pid: &u32| field(&format!("/proc/{pid}/io"), "write_bytes:", 1);
        Self {
            cpu: root.map(|_| cpu(root).own),
            wire: field("/proc/net/dev", "lo:", 9) as f64,
            written: root.map(|root| tree(root).iter().map(written).sum::<u64>() as f64),
        }
    }

    /// What was spent since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        let less = |now: Option<f64>, then: Option<f64>| Some(now? - then?);
        Self {
            cpu: less(self.cpu, before.cpu),
            wire: self.wire - before.wire,
            written: less(self.written, before.written),
        }
    }

    /// Processor time for each GiB of so many bytes, in seconds.
    pub(crate) fn cpu_per_gib(&self, bytes: u64) -> Option<f64> {
        Some(self.cpu? / (bytes as f64 / f64::from(1 << 30)))
    }
}

/// The word at place `at` of the line of `file` that begins with `name`, as a number.
fn field(file: &str, name: &str, at: usize) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text
        .lines()
        .find(|line| line.trim_start().starts_with(name));
    let word = line.and_then(|line| line.split_whitespace().nth(at));
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// One process's line in `/proc/<pid>/stat` (proc_pid_stat(5)).
struct Stat {
    parent: u32,
    kernel: bool,
    /// Ticks in user and kernel mode, without children.
    ticks: u64,
    /// Ticks of children that have ended.
    reaped: u64,
}

/// A process and all below it.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let all = processes();
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(
            all.iter()
                .filter(|(_, stat)| stat.parent == parent)
                .map(|(pid, _)| *pid),
        );
        at += 1;
    }
    found
}

/// The CPU time of `root` and all below it (none for no root), and of all strangers, so far.
pub(crate) fn cpu(root: Option<u32>) -> Cpu {
    let tick = rustix::param::clock_ticks_per_second() as f64;
    let all = processes();
    let ticks = |pid: &u32| all.get(pid).map_or(0, |stat| stat.ticks);
    let ours = root.map_or_else(Vec::new, tree);
    let own: u64 = ours.iter().map(ticks).sum();
    // Whatever this process started is part of what is measured, or of its surroundings.
    let mine = tree(std::process::id());
    let strangers: u64 = all
        .iter()
        .filter(|(pid, stat)| !stat.kernel && !mine.contains(pid) && !ours.contains(pid))
        .map(|(_, stat)| stat.ticks + stat.reaped)
        .sum();
    let strangers = strangers + stolen();
    Cpu {
        own: own as f64 / tick,
        foreign: strangers as f64 / tick,
    }
}

/// Processor time of all children of this process that have ended, in seconds (proc_pid_stat(5),
/// `cutime` and `cstime`).
///
/// # Errors
/// When the kernel does not say.
pub(crate) fn reaped() -> anyhow::Result<f64> {
    let me = stat(std::process::id()).context("/proc/self/stat can't be read")?;
    Ok(me.reaped as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The sum of the peak resident memory (`VmHWM`) of `root` and all below it, in MiB. Pages that
/// they share count for each.
pub(crate) fn peak(root: u32) -> f64 {
    let kib: u64 = tree(root)
        .iter()
        .map(|pid| field(&format!("/proc/{pid}/status"), "VmHWM:", 1))
        .sum();
    kib as f64 / 1024.0
}

/// Waits until strangers leave the machine alone for 300 ms, `patience` at the most.
pub(crate) fn await_quiet(root: Option<u32>, patience: Duration) {
    let start = Instant::now();
    loop {
        let before = cpu(root).foreign;
        std::thread::sleep(Duration::from_millis(300));
        if cpu(root).foreign - before < 0.03 || start.elapsed() >= patience {
            return;
        }
    }
}

/// Has `bytes` of page cache taken by a file in `dir`, and gives them back, twice. A virtual
/// machine's host lends memory at its first use, page by page; that would be measured otherwise.
pub(crate) fn prime_page_cache(dir: &Path, bytes: u64) -> anyhow::Result<()> {
    let chunk = vec![0xa5; 128 << 10];
    for _ in 0..2 {
        let mut file = tempfile::tempfile_in(dir)?;
        for _ in 0..bytes / chunk.len() as u64 {
            file.write_all(&chunk)?;
        }
    }
    Ok(())
}

/// The time that the host took, in ticks: `steal` of `/proc/stat` (proc_stat(5)).
fn stolen() -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    text.split_whitespace()
        .nth(8)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0)
}

fn processes() -> HashMap<u32, Stat> {
    let Ok(folder) = fs::read_dir("/proc") else {
        return HashMap::new();
    };
    folder
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| Some((pid, stat(pid)?)))
        .collect()
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name, in parentheses, may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let parent = u32::try_from(number(1)?).ok()?;
    Some(Stat {
        parent,
        kernel: parent == 2 || pid == 2,
        ticks: number(11)? + number(12)?,
        reaped: number(13)? + number(14)?,
    })
}

/// The value below which `share` (0 to 1) of the samples lie, between neighbours by their
/// distance; `None` for no samples.
pub(crate) fn quantile(samples: &[f64], share: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = share * (sorted.len().checked_sub(1)?) as f64;
    let low = sorted.get(at.floor() as usize)?;
    let high = sorted.get(at.ceil() as usize)?;
    Some(low + (high - low) * at.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_samples() {
        let samples = [4.0, 1.0, 3.0, 2.0, 5.0];
        assert_eq!(quantile(&samples, 0.5), Some(3.0));
        assert_eq!(quantile(&samples, 0.1), Some(1.4));
        assert_eq!(quantile(&samples, 1.0), Some(5.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn own_memory_and_time_are_found() {
        let me = std::process::id();
        assert!(peak(me) > 0.5);
        let spun = (0..200_000_000u64).fold(0, |sum: u64, n| sum.wrapping_add(n ^ sum));
        assert!(std::hint::black_box(spun) != 1 && cpu(Some(me)).own > 0.0);
    }
}
