//! CNCF Distribution's registry, version 3, as a pull-through mirror.
//!
//! The settings are those of its own page on mirrors, plus the cache of descriptors in memory, which
//! every example of its has. Its traces are off: without a collector it would look for one at each
//! request. The manifests of tags are asked for again at each request, as in version 2.

use std::path::Path;
use std::process::Command;

use super::Install;
use super::Mirror;
use super::Place;
use super::distribution;

/// All that is known of it.
pub(super) const MIRROR: Mirror = Mirror {
    name: "distribution v3",
    install: Install::Go {
        program: "registry",
        package: "github.com/distribution/distribution/v3/cmd/registry",
        version: "v3.1.2",
        tags: "",
    },
    version: &["--version"],
    settings: distribution::SETTINGS,
    limits: distribution::LIMITS,
    tls: false,
    by_image: false,
    command: Some(command),
};

fn command(program: &Path, place: &Place<'_>) -> anyhow::Result<Command> {
    let mut command = distribution::command(program, place)?;
    command.env("OTEL_TRACES_EXPORTER", "none");
    Ok(command)
}
