//! What the system says of this process, under the names that every Prometheus client has for it.

use procfs::process::LimitValue;
use procfs::process::Process;

use super::family::Family;
use super::family::Page;

const CPU: Family = Family::counter(
    "process_cpu_seconds_total",
    &[],
    "CPU time in user space and in the kernel.",
);
const RESIDENT: Family = Family::gauge(
    "process_resident_memory_bytes",
    &[],
    "Memory that is in use.",
);
const VIRTUAL: Family = Family::gauge(
    "process_virtual_memory_bytes",
    &[],
    "Memory that is mapped.",
);
const OPEN: Family = Family::gauge(
    "process_open_fds",
    &[],
    "Files, sockets and pipes that are open.",
);
const MOST: Family = Family::gauge("process_max_fds", &[], "How many of these may be open.");
const STARTED: Family = Family::gauge(
    "process_start_time_seconds",
    &[],
    "When the process was started, in seconds since 1970.",
);

/// What can't be read is left out.
pub(super) fn show(page: &mut Page) {
    if let Err(error) = try_show(page) {
        tracing::debug!("the metrics say nothing of the process: {error}");
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds, to the hundredth")]
fn try_show(page: &mut Page) -> procfs::ProcResult<()> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
    page.show(&CPU, &[], seconds(stat.utime + stat.stime));
    page.count(&RESIDENT, &[], stat.rss * procfs::page_size());
    page.count(&VIRTUAL, &[], stat.vsize);
    let booted = procfs::boot_time_secs()? as f64;
    page.show(&STARTED, &[], booted + seconds(stat.starttime));
    page.count(&OPEN, &[], process.fd_count()? as u64);
    if let LimitValue::Value(most) = process.limits()?.max_open_files.soft_limit {
        page.count(&MOST, &[], most);
    }
    Ok(())
}
