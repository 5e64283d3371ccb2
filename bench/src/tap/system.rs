use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use super::Way;
use super::origin::Origin;
use crate::peers;
use crate::peers::Running;

/// What curl goes through.
#[derive(Clone, Debug)]
pub(crate) enum System {
    /// Nothing.
    Direct,
    /// `tidegate tap`.
    Tap(PathBuf),
    /// mitmproxy's `mitmdump`, where it is installed. It passes bodies on as they come, as it does
    /// only when it is told to.
    Mitmproxy,
}

impl System {
    /// All that are there.
    pub(crate) fn all(tidegate: PathBuf) -> Vec<Self> {
        let mut all = vec![Self::Direct, Self::Tap(tidegate)];
        if fake_registry::is_installed("mitmdump") {
            all.push(Self::Mitmproxy);
        } else {
            eprintln!("no mitmdump: install it with: apt-get install mitmproxy");
        }
        all
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Tap(_) => "tidegate tap",
            Self::Mitmproxy => "mitmproxy",
        }
    }

    /// Starts it; `None` where there is nothing to start.
    pub(crate) fn start(&self, parent: &Path, origin: &Origin) -> anyhow::Result<Option<Running>> {
        let (dir, port) = (peers::folder(parent)?, peers::free_port()?);
        let command = match self {
            Self::Direct => return Ok(None),
            Self::Tap(path) => {
                let mut command = Command::new(path);
                command
                    .args(["tap", "--listen", &format!("127.0.0.1:{port}")])
                    .arg("--journal")
                    .arg(dir.path().join("journal.jsonl"))
                    .arg("--ca-dir")
                    .arg(dir.path().join("ca"))
                    .arg("--upstream-ca")
                    .arg(origin.ca());
                command
            }
            Self::Mitmproxy => {
                let mut command = Command::new("mitmdump");
                let port = port.to_string();
                command.args(["-q", "--listen-host", "127.0.0.1", "--listen-port", &port]);
                let ca = origin.ca().display();
                for option in [
                    format!("confdir={}", dir.path().display()),
                    format!("ssl_verify_upstream_trusted_ca={ca}"),
                    "stream_large_bodies=1m".to_owned(),
                ] {
                    command.args(["--set", &option]);
                }
                command
            }
        };
        Running::start(self.name(), command, (dir, port)).map(Some)
    }

    /// The authority that clients are to trust.
    pub(crate) fn ca(&self, running: Option<&Running>, origin: &Origin) -> PathBuf {
        match (self, running) {
            (Self::Tap(_), Some(running)) => running.dir().join("ca/ca.crt"),
            (Self::Mitmproxy, Some(running)) => running.dir().join("mitmproxy-ca-cert.pem"),
            _ => origin.ca().to_owned(),
        }
    }

    /// What is pulled through it: something that takes long enough, and not too long.
    pub(crate) fn file(&self, origin: &Origin, way: Way) -> String {
        match self {
            Self::Mitmproxy => origin.small(way),
            _ => origin.large(way),
        }
    }
}
