use std::fmt::Write as _;

use super::Mirror;
use super::Piece;
use super::Recipe;

/// k3s makes containerd's files from this one when it starts.
pub(super) fn recipe(mirror: &Mirror) -> Recipe {
    let mut text = "mirrors:\n".to_owned();
    for upstream in &mirror.upstreams {
        let _ = writeln!(
            text,
            "  \"{}\":\n    endpoint:\n      - \"{}\"",
            upstream.name,
            mirror.origin()
        );
    }
    let mut notes = vec![
        "Then, on each node: systemctl restart k3s (or k3s-agent)\n\
         RKE2 has the same file as /etc/rancher/rke2/registries.yaml."
            .to_owned(),
    ];
    notes.extend(mirror.trust(&format!(
        "add at the end\n  configs:\n    \"{}\":\n      tls:\n        ca_file: /path/to/ca.crt",
        mirror.authority()
    )));
    Recipe {
        files: vec![Piece::whole("/etc/rancher/k3s/registries.yaml", &text)],
        notes,
    }
}
