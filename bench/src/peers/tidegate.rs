//! tidegate, with one upstream and nothing else set.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use super::Install;
use super::Mirror;
use super::Place;
use crate::report::OWN;
use crate::report::System;

/// All that is known of it.
pub(super) const MIRROR: Mirror = Mirror {
    name: "tidegate",
    install: Install::Own,
    version: &["--version"],
    settings: "one upstream, no line in the log for each request, as the others have none; all else as \
               it is without a configuration",
    limits: "none that these scenarios touch: it verifies each digest, syncs what it stores to disk, \
             and asks about a tag once in five minutes",
    tls: true,
    by_image: false,
    command: Some(|program, place| command(program, place, "")),
};

/// The same, which writes a journal besides.
pub(super) const JOURNALLED: Mirror = Mirror {
    name: "tidegate + journal",
    settings: "the same, with `[ledger] journal`",
    command: Some(|program, place| {
        command(program, place, "[ledger]\njournal = \"journal.jsonl\"\n")
    }),
    ..MIRROR
};

/// The command that serves from `place` until it is told to end, with `more` in its configuration.
fn command(program: &Path, place: &Place<'_>, more: &str) -> anyhow::Result<Command> {
    let Place {
        dir, port, origin, ..
    } = place;
    let file = dir.join("proxy.toml");
    let speaks = match &origin.ca {
        Some(ca) => format!("ca = \"{}\"", ca.display()),
        None => String::from("plain_http = true"),
    };
    let tls = place.certificate.map_or_else(String::new, |it| {
        let (cert, key) = (it.cert.display(), it.key.display());
        format!("tls = {{ cert = \"{cert}\", key = \"{key}\" }}\n")
    });
    let text = format!(
        r#"[server]
listen = "127.0.0.1:{port}"
admin = "off"
{tls}
[store]
path = "{}"

[[upstream]]
name = "docker.io"
url = "{}"
{speaks}
default = true
credentials = "anonymous"

{more}"#,
        dir.join("data").display(),
        origin.url(),
    );
    std::fs::write(&file, text)?;
    let mut command = Command::new(program);
    command
        .arg("--quiet")
        .arg("serve")
        .arg("--config")
        .arg(&file);
    Ok(command)
}

/// The tidegate at `path`, where one is named, else the release binary as [`find`] has it.
///
/// # Errors
/// When there is none, or it does not build.
pub(crate) fn wanted(path: Option<&Path>) -> anyhow::Result<PathBuf> {
    match path {
        Some(path) => Ok(std::path::absolute(path)?),
        None => find()?.context("no tidegate is beside this program"),
    }
}

/// What it says of itself in a report.
///
/// # Errors
/// When it does not run.
pub(crate) fn system(program: &Path) -> anyhow::Result<System> {
    Ok(System {
        name: OWN.to_owned(),
        version: MIRROR.install.version(program, MIRROR.version)?,
        limits: MIRROR.limits.to_owned(),
    })
}

/// The release binary: built now where cargo runs us, else the one beside us; `None` where there
/// is none.
///
/// # Errors
/// When it does not build.
pub(crate) fn find() -> anyhow::Result<Option<PathBuf>> {
    let me = std::env::current_exe().context("the path of this program is not known")?;
    let beside = me.with_file_name("tidegate");
    if let Some(cargo) = std::env::var_os("CARGO")
        && let Some(package) = std::env::var_os("CARGO_MANIFEST_DIR")
    {
        // With bench, for the features of what both are built from to stay what they are: else all of
        // it would be built once more.
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--release", "--package", "bench"])
            .args(["--package", "tidegate", "--bin", "tidegate"])
            .current_dir(package)
            .status()
            .context("cargo does not run")?;
        anyhow::ensure!(status.success(), "tidegate does not build");
    }
    Ok(beside.is_file().then_some(beside))
}
