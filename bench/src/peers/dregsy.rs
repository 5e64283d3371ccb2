//! `dregsy`, with skopeo as its relay: the one of its two that its documentation prefers, and the
//! only one that needs no daemon.
//!
//! One task with a mapping for each repository; the tags are named, so that it needs not list them.
//! It has no setting for several at once: it starts a skopeo for each tag, one after the other.
//! Its releases have no tags that Go knows, so the version is the commit that release 0.5.2 is.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;

use super::Install;
use super::Job;
use super::Order;
use super::Tool;
use super::skopeo;
use super::tool::mirrored;

/// All that is known of it.
pub(super) const TOOL: Tool = Tool {
    name: "dregsy",
    asked: "dregsy",
    install: Install::Go {
        program: "dregsy",
        package: "github.com/xelalexv/dregsy/cmd/dregsy",
        version: "v0.0.0-20250317074629-e92e79a50145",
        tags: "",
    },
    version: &[],
    settings: "one task, one mapping for each repository, `relay: skopeo`, `platform: all`",
    limits: "a process of skopeo for each tag, one after the other; neither signatures nor referrers",
    referrers: false,
    keeps_in_step: true,
    starts_others: true,
    place: mirrored,
    jobs,
};

fn jobs(program: &Path, order: &Order<'_>) -> anyhow::Result<Vec<Job>> {
    let Order {
        source,
        target,
        folder,
        ..
    } = order;
    let relay = skopeo::INSTALL.program(None).context("its relay, skopeo")?;
    let trusted = folder.join("certs.d");
    for host in [source, target] {
        let host = host
            .rsplit_once(':')
            .map_or(host.as_str(), |(host, _)| host);
        std::fs::create_dir_all(trusted.join(host))?;
        std::fs::copy(order.ca, trusted.join(host).join("ca.crt"))?;
    }
    let mut yaml = format!(
        "relay: skopeo\nskopeo:\n  binary: {relay:?}\n  certs-dir: {trusted:?}\ntasks:\n\
         - name: all\n  source: {{registry: \"{source}\"}}\n  target: {{registry: \"{target}\"}}\n  \
         mappings:\n"
    );
    for (name, tags) in order.images {
        let to = mirrored(name);
        let _ = writeln!(
            yaml,
            "  - from: {name}\n    to: {to}\n    platform: all\n    tags: [{}]",
            tags.join(", ")
        );
    }
    let file = folder.join("dregsy.yaml");
    std::fs::write(&file, yaml)?;
    let mut option = std::ffi::OsString::from("-config=");
    option.push(&file);
    Ok(vec![skopeo::alone(program).arg(option).trusting(order.ca)])
}
