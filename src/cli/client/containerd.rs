use super::Mirror;
use super::Piece;
use super::Recipe;
use super::Upstream;

const FOLDER: &str = "/etc/containerd/certs.d";

/// A folder for each registry; containerd tells us by `ns=` whose image it wants.
pub(super) fn recipe(mirror: &Mirror) -> Recipe {
    let file = |upstream: &Upstream| {
        let text = format!(
            "server = \"{}\"\n\n[host.\"{}\"]\n  capabilities = [\"pull\", \"resolve\"]\n",
            upstream.url_text(),
            mirror.origin()
        );
        Piece::whole(format!("{FOLDER}/{}/hosts.toml", upstream.name), &text)
    };
    let mut notes = vec![format!(
        "containerd reads these files at each pull, once its config.toml names their folder \
         (then: systemctl restart containerd):\n\
         \x20 containerd 2.x, version = 3:\n\
         \x20   [plugins.\"io.containerd.cri.v1.images\".registry]\n\
         \x20     config_path = \"{FOLDER}\"\n\
         \x20 containerd 1.x, version = 2:\n\
         \x20   [plugins.\"io.containerd.grpc.v1.cri\".registry]\n\
         \x20     config_path = \"{FOLDER}\"\n\
         nerdctl reads them without; ctr with: ctr images pull --hosts-dir {FOLDER} IMAGE"
    )];
    notes.extend(mirror.trust("add ca = \"/path/to/ca.crt\" below capabilities in each file"));
    Recipe {
        files: mirror.upstreams.iter().map(file).collect(),
        notes,
    }
}
