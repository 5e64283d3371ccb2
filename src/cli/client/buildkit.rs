use std::fmt::Write as _;

use super::Mirror;
use super::Piece;
use super::Recipe;

/// buildkitd tells us by `ns=` whose image it wants. It has no folder for drop-ins.
pub(super) fn recipe(mirror: &Mirror) -> Recipe {
    let us = mirror.authority();
    let mut text = String::new();
    for upstream in &mirror.upstreams {
        let _ = writeln!(
            text,
            "[registry.\"{}\"]\n  mirrors = [\"{us}\"]\n",
            upstream.name
        );
    }
    let _ = writeln!(text, "[registry.\"{us}\"]\n  http = {}", mirror.is_plain());
    let mut notes = vec![
        "Then: systemctl restart buildkit\n\
         Or, for a builder of docker buildx: docker buildx create --use --driver-opt network=host \
         --buildkitd-config FILE\n\
         (The builder within dockerd has no such file: it uses `tidegate client docker`.)"
            .to_owned(),
    ];
    let how = format!("add ca = [\"/path/to/ca.crt\"] to [registry.\"{us}\"]");
    notes.extend(mirror.trust(&how));
    Recipe {
        files: vec![Piece::whole("/etc/buildkit/buildkitd.toml", &text)],
        notes,
    }
}
