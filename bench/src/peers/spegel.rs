//! Spegel, which has the nodes of a cluster pull from each other: absent, as what is measured here is
//! not what it does.
//!
//! It has no upstream and no store: it answers with what the containerd of some node has pulled
//! already, and with 404 for all else, upon which the node's containerd asks the real registry
//! itself. So each cold pull would be one of direct, each stored one would measure containerd's
//! content store, and a herd would need a cluster of nodes. Nothing of it can stand beside a
//! pull-through mirror in these tables.

use super::Install;
use super::Mirror;

/// All that is known of it.
pub(super) const MIRROR: Mirror = Mirror {
    name: "spegel",
    install: Install::Useless(
        "it is no pull-through mirror: it serves what the containerd of some node has pulled already, \
         and answers 404 for all else",
    ),
    version: &[],
    settings: "not run",
    limits: "no upstream, no store of its own",
    tls: false,
    by_image: false,
    command: None,
};
