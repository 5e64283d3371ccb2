//! CNCF Distribution's registry (`registry:2`) as a pull-through mirror.
//!
//! The settings are those of its own page on mirrors, plus the cache of descriptors in memory, which
//! every example of its has. Its access log is off: others write none either.

use std::path::Path;
use std::process::Command;

use super::Install;
use super::Mirror;
use super::Place;

/// All that is known of it.
pub(super) const MIRROR: Mirror = Mirror {
    name: "docker-registry",
    install: Install::Package {
        program: "docker-registry",
        package: "docker-registry",
    },
    version: &["--version"],
    settings: SETTINGS,
    limits: LIMITS,
    tls: false,
    by_image: false,
    command: Some(command),
};

/// How versions 2 and 3 are set up.
pub(super) const SETTINGS: &str = "`proxy.remoteurl`, descriptors cached in memory, no access log";

/// What versions 2 and 3 can't do.
pub(super) const LIMITS: &str = "one upstream only; asks the upstream about a tag at every \
    request; of requests for one cold blob at the same time each is a GET upstream, and one more \
    fills the store";

/// The command that serves from `place` until it is told to end.
pub(super) fn command(program: &Path, place: &Place<'_>) -> anyhow::Result<Command> {
    let Place {
        dir, port, origin, ..
    } = place;
    let file = dir.join("registry.yml");
    let dir = dir.join("data");
    let text = format!(
        "version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: {}
  cache:
    blobdescriptor: inmemory
http:
  addr: 127.0.0.1:{port}
proxy:
  remoteurl: {}
",
        dir.display(),
        origin.url()
    );
    std::fs::write(&file, text)?;
    let mut command = Command::new(program);
    command.arg("serve").arg(&file);
    if let Some(ca) = &origin.ca {
        command.env("SSL_CERT_FILE", ca);
    }
    Ok(command)
}
