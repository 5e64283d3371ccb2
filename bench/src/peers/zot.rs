//! zot with its `sync` extension, on demand.
//!
//! The extension is compiled in by a build tag; the others are not, as none of them serves content.
//! `preserveDigest` with `docker2s2` keeps manifests as they are. Neither garbage collection nor
//! logging runs beside the pulls. This version has no setting for how much it fetches at once
//! (three requests), nor for how long it believes what it knows of a tag.

use std::path::Path;
use std::process::Command;

use super::Install;
use super::Mirror;
use super::Place;

/// All that is known of it.
pub(super) const MIRROR: Mirror = Mirror {
    name: "zot",
    install: Install::Go {
        program: "zot",
        package: "zotregistry.dev/zot/v2/cmd/zot",
        version: "v2.1.20",
        tags: "sync",
    },
    version: &["--version"],
    settings: "extension `sync`, `onDemand`, `preserveDigest`, without garbage collection",
    limits: "fetches a whole image, with all that refers to it, before it answers the first request \
             for its manifest, and nothing for a blob alone, which is 404 until then; so there is no \
             cold blob to be measured; asks the upstream about a tag at every request",
    tls: false,
    by_image: true,
    command: Some(command),
};

fn command(program: &Path, place: &Place<'_>) -> anyhow::Result<Command> {
    let Place {
        dir, port, origin, ..
    } = place;
    let file = dir.join("zot.json");
    let text = serde_json::json!({
        "distSpecVersion": "1.1.1",
        "storage": {"rootDirectory": dir.join("data"), "gc": false},
        "http": {"address": "127.0.0.1", "port": port.to_string(), "compat": ["docker2s2"]},
        "log": {"level": "error"},
        "extensions": {"sync": {"enable": true, "registries": [{
            "urls": [origin.url()],
            "onDemand": true,
            "tlsVerify": origin.ca.is_some(),
            "preserveDigest": true,
            "maxRetries": 2,
            "retryDelay": "1s",
            "content": [{"prefix": "**"}],
        }]}},
    });
    std::fs::write(&file, serde_json::to_vec_pretty(&text)?)?;
    let mut command = Command::new(program);
    command.arg("serve").arg(&file);
    if let Some(ca) = &origin.ca {
        command.env("SSL_CERT_FILE", ca);
    }
    Ok(command)
}
