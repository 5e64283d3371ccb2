//! On what it was measured.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde::Serialize;

/// The machine and the code.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) cpu: String,
    /// How many cores.
    pub(crate) cores: usize,
    /// All memory, in GiB.
    pub(crate) memory_gib: u64,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// The file system of the caches.
    pub(crate) filesystem: String,
    /// What a synced write to it reaches, in MB/s.
    pub(crate) disk_mb_s: u64,
    /// Of the source, with `-dirty` where it was changed.
    pub(crate) commit: String,
}

impl Machine {
    /// Looks around; `dir` is where the caches will be.
    pub(crate) fn look(dir: &Path) -> anyhow::Result<Self> {
        let memory = read_field("/proc/meminfo", "MemTotal");
        let kib: u64 = memory
            .split(' ')
            .next()
            .and_then(|word| word.parse().ok())
            .unwrap_or(0);
        Ok(Self {
            cpu: read_field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: (kib + (1 << 19)) >> 20,
            kernel: said("uname", &["-sr"]),
            filesystem: said(
                "stat",
                &["-f", "-c", "%T", dir.to_str().unwrap_or_default()],
            ),
            disk_mb_s: disk(dir)?,
            commit: said("git", &["describe", "--always", "--dirty", "--exclude=*"]),
        })
    }
}

/// Writes and syncs 256 MiB.
fn disk(dir: &Path) -> anyhow::Result<u64> {
    use std::io::Write as _;
    let mut file = tempfile::tempfile_in(dir)?;
    let chunk = vec![0xa5; 1 << 20];
    let start = std::time::Instant::now();
    for _ in 0..256 {
        file.write_all(&chunk)?;
    }
    file.sync_data()?;
    Ok((f64::from(256 << 20) / 1e6 / start.elapsed().as_secs_f64()) as u64)
}

/// The value of the first line `name : value` of a file in `/proc`.
fn read_field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map_or_else(
            || "unknown".to_owned(),
            |(_, value)| value.trim().to_owned(),
        )
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    match String::from_utf8_lossy(&text).trim() {
        "" => "unknown".to_owned(),
        text => text.to_owned(),
    }
}
