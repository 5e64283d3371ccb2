//! `tidegate sync`: one set, a file of references.
//!
//! Nothing is set for speed: all is as it is without a configuration.

use std::fmt::Write as _;
use std::path::Path;

use super::Install;
use super::Job;
use super::Order;
use super::Tool;
use super::tool::mirrored;

/// All that is known of it.
pub(super) const TOOL: Tool = Tool {
    name: "tidegate sync",
    asked: "tidegate-sync",
    install: Install::Own,
    version: &["--version"],
    settings: "one process, one set with a file of references",
    limits: "none that is asked for here",
    referrers: true,
    keeps_in_step: true,
    starts_others: false,
    place: mirrored,
    jobs,
};

fn jobs(program: &Path, order: &Order<'_>) -> anyhow::Result<Vec<Job>> {
    let folder = order.folder.join("sync");
    std::fs::create_dir_all(&folder)?;
    let mut references = String::new();
    for (name, tag) in order.tags() {
        let _ = writeln!(references, "source.test/{name}:{tag}");
    }
    std::fs::write(folder.join("images.txt"), references)?;
    let Order {
        source, target, ca, ..
    } = order;
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n[store]\npath = \"store\"\n\n\
         [[upstream]]\nname = \"source.test\"\nurl = \"https://{source}\"\nca = {ca:?}\n\
         credentials = \"anonymous\"\n\n\
         [[target]]\nname = \"target\"\nurl = \"https://{target}\"\nca = {ca:?}\n\
         credentials = \"anonymous\"\nrepository = \"mirror/{{repository}}\"\n\n\
         [[prefetch]]\nname = \"all\"\nfrom = \"file:images.txt\"\nto = \"target\"\n\
         referrers = {}\n",
        order.referrers,
    );
    std::fs::write(folder.join("proxy.toml"), config)?;
    let job = Job::of(program).args(["sync", "--quiet", "--config", "proxy.toml"]);
    Ok(vec![job.folder(&folder)])
}
