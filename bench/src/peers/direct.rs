//! No proxy: the clients ask the origin itself. What the machine can do at best.

use super::Install;
use super::Mirror;

/// All that is known of it.
pub(super) const MIRROR: Mirror = Mirror {
    name: "direct",
    install: Install::Here,
    version: &[],
    settings: "the origin itself: blobs from memory with sendfile",
    limits: "stores nothing: every pull is a pull from the origin",
    tls: false,
    by_image: false,
    command: None,
};
