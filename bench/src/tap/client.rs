use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;

use super::Way;
use super::origin::Origin;
use super::system::System;
use crate::peers::Running;

/// curl, on one way through one system.
#[derive(Debug)]
pub(crate) struct Client {
    proxy: String,
    ca: PathBuf,
    way: Way,
}

impl Client {
    /// Through `system`, where it is `running`.
    pub(crate) fn of(
        system: &System,
        running: Option<&Running>,
        origin: &Origin,
        way: Way,
    ) -> Self {
        Self {
            proxy: running.map_or_else(String::new, |running| format!("http://{}", running.addr)),
            ca: system.ca(running, origin),
            way,
        }
    }

    /// Pulls by so many curls at the same time: all bytes, and how long it took.
    ///
    /// # Errors
    /// When one of them fails.
    pub(crate) fn pull(&self, clients: usize, url: String) -> anyhow::Result<(u64, Duration)> {
        let start = Instant::now();
        let all: Vec<Child> = (0..clients)
            .map(|_| self.curl(&url).spawn().context("curl does not start"))
            .collect::<Result<_, _>>()?;
        let mut bytes = 0;
        for curl in all {
            let out = curl.wait_with_output()?;
            let said = String::from_utf8_lossy(&out.stdout);
            anyhow::ensure!(
                out.status.success(),
                "curl: {}: {said}{}",
                out.status,
                String::from_utf8_lossy(&out.stderr)
            );
            let (version, size) = said.split_once(' ').context("curl says nothing")?;
            let wanted = if self.way == Way::Http2 { "2" } else { "1.1" };
            anyhow::ensure!(version == wanted, "curl spoke HTTP/{version}");
            bytes += size.parse::<u64>()?;
        }
        Ok((bytes, start.elapsed()))
    }

    fn curl(&self, url: &str) -> Command {
        let version = match self.way {
            Way::Http2 => "--http2",
            Way::Plain | Way::Http1 => "--http1.1",
        };
        let mut command = Command::new("curl");
        command
            .args(["-sSf", "--noproxy", "", "--proxy", &self.proxy, version])
            .arg("--cacert")
            .arg(&self.ca)
            .args(["-o", "/dev/null", "-w", "%{http_version} %{size_download}"])
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}
