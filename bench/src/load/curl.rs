//! Pulls over HTTP/2 and TLS, by curl: what a client of the origin itself would be.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;

use super::pull::Pulled;
use crate::corpus::Blob;
use crate::origin::REPOSITORY;
use crate::peers::Upstream;

/// What it says of each transfer.
const SAYS: &str = "%{http_version} %{http_code} %{size_download} %{time_starttransfer}\\n";

/// Pulls all the blobs at the same time over one connection. The first byte is the first transfer's,
/// without the program's own start.
///
/// # Errors
/// When there is no curl, or the answers are not these blobs over HTTP/2.
pub(crate) fn curl(from: &Upstream, blobs: &[Arc<Blob>]) -> anyhow::Result<Pulled> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--http2", "--parallel"]);
    command.args(["--write-out", SAYS]);
    if let Some(ca) = &from.ca {
        command.arg("--cacert").arg(ca);
    }
    for blob in blobs {
        let url = format!("{}/v2/{REPOSITORY}/blobs/{}", from.url(), blob.digest);
        command.args(["--output", "/dev/null", &url]);
    }
    let start = Instant::now();
    let output = command.output();
    let took = start.elapsed();
    let output = output.context("curl does not run (apt-get install curl)")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "curl failed: {}", errors.trim());
    let said = String::from_utf8_lossy(&output.stdout);
    let mut sizes: Vec<u64> = Vec::new();
    let mut first = f64::INFINITY;
    for line in said.lines() {
        let mut words = line.split(' ');
        let head = (words.next(), words.next());
        anyhow::ensure!(head == (Some("2"), Some("200")), "curl got: {line}");
        let size = words.next().and_then(|word| word.parse().ok());
        sizes.push(size.context("curl says no size")?);
        let start = words.next().and_then(|word| word.parse().ok());
        first = first.min(start.context("curl says no time")?);
    }
    let mut wanted: Vec<_> = blobs.iter().map(|blob| blob.size).collect();
    sizes.sort_unstable();
    wanted.sort_unstable();
    anyhow::ensure!(sizes == wanted, "curl got {sizes:?} bytes");
    Ok(Pulled {
        first_byte: Duration::from_secs_f64(first),
        took,
    })
}
