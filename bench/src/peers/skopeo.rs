//! `skopeo sync` from a file in its YAML.
//!
//! `--all` brings every platform, `--preserve-digests` keeps manifests as they are. It has no setting
//! for several images at once; of one image it copies six blobs at the same time.

use std::fmt::Write as _;
use std::path::Path;

use super::Install;
use super::Job;
use super::Order;
use super::Tool;

/// All that is known of it.
pub(super) const TOOL: Tool = Tool {
    name: "skopeo sync",
    asked: "skopeo",
    install: INSTALL,
    version: &["--version"],
    settings: "one process, one image after the other, `--all`",
    limits: "one image at a time; neither signatures nor referrers; the last part of a repository's \
             name is all that it keeps",
    referrers: false,
    keeps_in_step: true,
    starts_others: false,
    place,
    jobs,
};

/// How it is installed.
pub(super) const INSTALL: Install = Install::Package {
    program: "skopeo",
    package: "skopeo",
};

/// That is how it calls it, whatever it is told.
fn place(name: &str) -> String {
    let (_, last) = name.rsplit_once('/').unwrap_or(("", name));
    format!("mirror/{last}")
}

fn jobs(program: &Path, order: &Order<'_>) -> anyhow::Result<Vec<Job>> {
    let mut yaml = format!("{}:\n  images:\n", order.source);
    for (name, tags) in order.images {
        let _ = writeln!(yaml, "    {name}: [{}]", tags.join(", "));
    }
    let file = order.folder.join("skopeo.yaml");
    std::fs::write(&file, yaml)?;
    let job = alone(program)
        .args(["--insecure-policy", "sync", "--all", "--preserve-digests"])
        .args(["--src", "yaml", "--dest", "docker"])
        .arg(&file)
        .arg(format!("{}/mirror", order.target));
    Ok(vec![job.trusting(order.ca)])
}

/// A program that may use skopeo. What skopeo remembers of registries is a file of the machine: a run
/// has its own.
pub(super) fn alone(program: &Path) -> Job {
    let enter = r#"mkdir -p /var/lib/containers &&
        mount -t tmpfs tmpfs /var/lib/containers 2>/dev/null; exec "$0" "$@""#;
    Job::of(Path::new("unshare"))
        .args(["--mount", "sh", "-c", enter])
        .arg(program)
}
