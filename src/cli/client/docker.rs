use serde_json::json;

use super::Form;
use super::Mirror;
use super::Piece;
use super::Recipe;

/// dockerd asks `registry-mirrors` for Docker Hub's images only, and does not say whose they are.
pub(super) fn recipe(mirror: &Mirror) -> Recipe {
    let mut daemon = json!({ "registry-mirrors": [mirror.origin()] });
    // 127.0.0.0/8 and ::1 are insecure registries of dockerd anyway.
    if mirror.is_plain() && !mirror.is_loopback() {
        daemon["insecure-registries"] = json!([mirror.authority()]);
    }
    let mut notes = vec![
        "Then: systemctl reload docker".to_owned(),
        "dockerd asks these mirrors for Docker Hub only. With its containerd image store it can \
         mirror any registry: use the files of `tidegate client containerd`, below \
         /etc/docker/certs.d."
            .to_owned(),
    ];
    match &mirror.default {
        Some(name) if name.as_str() == "docker.io" => {}
        _ => notes.push(
            "Warning: dockerd names no registry, and docker.io is not the default upstream here; \
             set default = true for it in proxy.toml."
                .to_owned(),
        ),
    }
    notes.extend(mirror.trust(&format!(
        "put it into /etc/docker/certs.d/{}/ca.crt",
        mirror.authority()
    )));
    Recipe {
        files: vec![Piece {
            path: "/etc/docker/daemon.json".into(),
            text: format!("{daemon:#}\n"),
            form: Form::DaemonJson,
        }],
        notes,
    }
}
