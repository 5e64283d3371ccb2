//! No proxy: the clients ask the origin itself. What the machine can do at best.

/// What it is.
pub(super) const VERSION: &str = "the origin itself: blobs from memory with sendfile";

/// What it can't do.
pub(super) const LIMITS: &str = "stores nothing: every pull is a pull from the origin";
