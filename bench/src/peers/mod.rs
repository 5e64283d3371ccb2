//! The systems that are held side by side. Each has a file of its own, which holds all that is known
//! of it: how it is installed and in which version, how it is set up for the job and why so, what it
//! can't do, and how it is run. A new one is a new file and a line in [`MIRRORS`] or [`TOOLS`].
//!
//! [`Mirror`]s serve what clients pull through them; [`Tool`]s bring images from one registry to
//! another. What can't be installed is absent, with the reason, and nothing stands in for it.

use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::path::Path;

use anyhow::Context;
use tempfile::TempDir;

mod certificate;
mod crane;
mod direct;
mod distribution;
mod distribution3;
mod dregsy;
mod install;
mod mirror;
mod nginx;
mod order;
mod regsync;
mod running;
mod skopeo;
mod spegel;
pub(crate) mod tidegate;
mod tidegate_copy;
mod tidegate_sync;
mod tool;
mod upstream;
mod zot;

pub(crate) use certificate::Certificate;
pub(crate) use install::Install;
pub(crate) use mirror::Mirror;
pub(crate) use mirror::Peer;
pub(crate) use mirror::Place;
pub(crate) use order::Job;
pub(crate) use order::Order;
pub(crate) use running::Running;
pub(crate) use tool::Tool;
pub(crate) use upstream::Upstream;

/// All mirrors, in the order of the table's columns.
pub(crate) const MIRRORS: [&Mirror; 8] = [
    &direct::MIRROR,
    &nginx::MIRROR,
    &distribution::MIRROR,
    &distribution3::MIRROR,
    &zot::MIRROR,
    &spegel::MIRROR,
    &tidegate::MIRROR,
    &tidegate::JOURNALLED,
];

/// All tools, in the order of the table's columns.
pub(crate) const TOOLS: [&Tool; 6] = [
    &tidegate_copy::TOOL,
    &tidegate_sync::TOOL,
    &skopeo::TOOL,
    &regsync::TOOL,
    &crane::TOOL,
    &dregsy::TOOL,
];

/// An empty folder of its own for a system.
pub(crate) fn folder(parent: &Path) -> anyhow::Result<TempDir> {
    tempfile::Builder::new()
        .prefix("tidegate-bench-")
        .tempdir_in(parent)
        .with_context(|| format!("no folder can be made in {}", parent.display()))
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}
