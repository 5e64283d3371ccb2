use super::Mirror;
use super::Piece;
use super::Recipe;

/// podman rewrites the prefix of a name and does not say whose it was: the upstream must be the
/// first component of the path.
pub(super) fn recipe(mirror: &Mirror) -> Recipe {
    let tables = mirror.upstreams.iter().map(|upstream| {
        let (name, us) = (&upstream.name, mirror.authority());
        let insecure = |plain: bool| if plain { "insecure = true\n" } else { "" };
        format!(
            "[[registry]]\nprefix = \"{name}\"\nlocation = \"{name}\"\n{}\n\
             [[registry.mirror]]\nlocation = \"{us}/{}\"\n{}",
            insecure(upstream.is_plain()),
            name.path_component(),
            insecure(mirror.is_plain()),
        )
    });
    let text = tables.collect::<Vec<_>>().join("\n");
    let mut notes = vec![
        "podman, buildah and skopeo read this at each pull; CRI-O after: systemctl reload crio"
            .to_owned(),
    ];
    notes.extend(mirror.trust(&format!(
        "put it into /etc/containers/certs.d/{}/ca.crt",
        mirror.authority()
    )));
    Recipe {
        files: vec![Piece::whole(
            "/etc/containers/registries.conf.d/50-tidegate.conf",
            &text,
        )],
        notes,
    }
}
