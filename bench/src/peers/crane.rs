//! `crane copy --all-tags`, once for each repository.
//!
//! It copies as many tags of a repository at the same time as there are processors, which is its
//! default (`--jobs`); repositories one after the other.

use std::path::Path;

use super::Install;
use super::Job;
use super::Order;
use super::Tool;
use super::tool::mirrored;

/// All that is known of it.
pub(super) const TOOL: Tool = Tool {
    name: "crane",
    asked: "crane",
    install: Install::Go {
        program: "crane",
        package: "github.com/google/go-containerregistry/cmd/crane",
        version: "v0.22.1",
        tags: "",
    },
    version: &["version"],
    settings: "one process for each repository, one after the other, `copy --all-tags`",
    limits: "one repository at a time; knows nothing of referrers: `--all-tags` brings the tags that \
             stand for them, whether they are asked for or not",
    referrers: false,
    keeps_in_step: true,
    starts_others: false,
    place: mirrored,
    jobs,
};

fn jobs(program: &Path, order: &Order<'_>) -> anyhow::Result<Vec<Job>> {
    let Order { source, target, .. } = order;
    let copy = |(name, _): &(String, Vec<String>)| {
        Job::of(program)
            .args(["copy", "--all-tags"])
            .arg(format!("{source}/{name}"))
            .arg(format!("{target}/{}", mirrored(name)))
            .trusting(order.ca)
    };
    Ok(order.images.iter().map(copy).collect())
}
