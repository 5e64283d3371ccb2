//! CNCF Distribution's registry (`registry:2`) as a pull-through mirror.

use std::process::Command;

use super::Place;

/// Its name in `PATH`.
pub(super) const PROGRAM: &str = "docker-registry";

/// How to get it.
pub(super) const INSTALL: &str = "install it with: apt-get install docker-registry";

/// What it can't do.
pub(super) const LIMITS: &str = "one upstream only; asks the upstream about a tag at every \
    request; of requests for one cold blob at the same time each is a GET upstream, and one more \
    fills the store";

/// The command that serves from `place` until it is told to end.
pub(super) fn command(place: &Place<'_>) -> anyhow::Result<Command> {
    let Place { dir, port, origin } = place;
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
    let mut command = Command::new(PROGRAM);
    command.arg("serve").arg(&file);
    if let Some(ca) = &origin.ca {
        command.env("SSL_CERT_FILE", ca);
    }
    Ok(command)
}
