//! `tidegate copy`: one process for each tag, which knows nothing of those before.

use std::path::Path;

use super::Install;
use super::Job;
use super::Order;
use super::Tool;
use super::tool::mirrored;

/// All that is known of it.
pub(super) const TOOL: Tool = Tool {
    name: "tidegate copy",
    asked: "tidegate-copy",
    install: Install::Own,
    version: &["--version"],
    settings: "one process for each tag, one after the other, which knows nothing of those before; \
               `--no-referrers`",
    limits: "one image at a time",
    referrers: false,
    keeps_in_step: false,
    starts_others: false,
    place: mirrored,
    jobs,
};

fn jobs(program: &Path, order: &Order<'_>) -> anyhow::Result<Vec<Job>> {
    let Order {
        source,
        target,
        ca,
        folder,
        ..
    } = order;
    let file = folder.join("copy.toml");
    std::fs::write(
        &file,
        format!(
            "[store]\npath = {:?}\n\n[[upstream]]\nname = \"source.test\"\n\
             url = \"https://{source}\"\nca = {ca:?}\ncredentials = \"anonymous\"\n\n\
             [[target]]\nname = \"target\"\nurl = \"https://{target}\"\nca = {ca:?}\n\
             repository = \"mirror/{{upstream}}/{{repository}}\"\ncredentials = \"anonymous\"\n",
            folder.join("store")
        ),
    )?;
    let copy = |(name, tag): (&str, &str)| {
        Job::of(program)
            .args(["copy", "--no-referrers", "--config"])
            .arg(&file)
            .arg(format!("{source}/{name}:{tag}"))
            .arg(format!("{target}/{}:{tag}", mirrored(name)))
            .folder(folder)
            .trusting(ca)
    };
    Ok(order.tags().map(copy).collect())
}
