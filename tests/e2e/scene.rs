//! The scene of every test: a private registry, a proxy that may read it, and a direct copy of the
//! image to compare with.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::layout::Layout;
use crate::sandbox;
use crate::skopeo;
use crate::upstream::Upstream;

/// The image, as clients call it: the upstream is the default, and known as Docker Hub, since that
/// is all that dockerd asks a mirror for.
pub(crate) const IMAGE: &str = "docker.io/demo/app:v1";

pub(crate) struct Scene {
    /// The registry behind the proxy.
    pub(crate) upstream: Upstream,
    /// What a client gets that asks the upstream itself.
    pub(crate) direct: Layout,
}
