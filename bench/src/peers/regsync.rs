//! `regsync once`, of the project regclient, with one entry for each repository.
//!
//! `parallel` counts entries that are worked on at the same time. The tags are named, so that the
//! fallback tags of referrers and cosign's tags come only where they are asked for, by `referrers` and
//! `digestTags`.

use std::fmt::Write as _;
use std::path::Path;

use super::Install;
use super::Job;
use super::Order;
use super::Tool;
use super::tool::mirrored;

/// All that is known of it.
pub(super) const TOOL: Tool = Tool {
    name: "regsync",
    asked: "regsync",
    install: Install::Go {
        program: "regsync",
        package: "github.com/regclient/regclient/cmd/regsync",
        version: "v0.11.7",
        tags: "",
    },
    version: &["version", "--format", "{{.VCSTag}}"],
    settings: "one process, `parallel: 4`, one entry for each repository; with referrers: \
               `referrers: true` and `digestTags: true`",
    limits: "remembers nothing of a run before",
    referrers: true,
    keeps_in_step: true,
    starts_others: false,
    place: mirrored,
    jobs,
};

fn jobs(program: &Path, order: &Order<'_>) -> anyhow::Result<Vec<Job>> {
    let Order { source, target, .. } = order;
    let mut yaml = "version: 1\ndefaults:\n  parallel: 4\n".to_owned();
    if order.referrers {
        yaml += "  referrers: true\n  digestTags: true\n";
    }
    yaml += "sync:\n";
    for (name, tags) in order.images {
        let to = mirrored(name);
        let _ = writeln!(
            yaml,
            "  - source: {source}/{name}\n    target: {target}/{to}\n    type: repository\n    \
             tags:\n      allow: [{}]",
            tags.join(", ")
        );
    }
    let file = order.folder.join("regsync.yaml");
    std::fs::write(&file, yaml)?;
    let job = Job::of(program).args(["once", "--config"]).arg(&file);
    Ok(vec![job.trusting(order.ca)])
}
