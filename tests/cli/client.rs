use serde_json::json;

use super::Place;

const UPSTREAMS: &str = r#"
[[upstream]]
name = "docker.io"
default = true

[[upstream]]
name = "localhost:8443"
url = "http://localhost:8443"
plain_http = true
"#;

const LAN: &str = "--url http://10.0.0.5:5000";

const MARK: &str = "# Written by `tidegate client`; run it again rather than changing this.\n";

fn place() -> Place {
    let place = Place::new();
    place.write("proxy.toml", UPSTREAMS);
    place
}

#[test]
fn docker_gets_a_daemon_json() {
    let place = place();
    let said = place.run("client docker");
    assert!(
        said.stderr.contains("systemctl reload docker"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("Docker Hub only"), "{}", said.stderr);
    assert!(!said.stderr.contains("Warning"), "{}", said.stderr);
    let json: serde_json::Value = serde_json::from_str(&said.well()).unwrap();
    // dockerd trusts loopback as it is.
    assert_eq!(
        json,
        json!({ "registry-mirrors": ["http://127.0.0.1:5000"] })
    );

    let printed = |args: &str| -> serde_json::Value {
        serde_json::from_str(&place.run(args).well()).unwrap()
    };
    assert_eq!(
        printed(&format!("client docker {LAN}")),
        json!({
            "registry-mirrors": ["http://10.0.0.5:5000"],
            "insecure-registries": ["10.0.0.5:5000"],
        })
    );
    assert_eq!(
        printed("client docker --url https://mirror.example.com/"),
        json!({ "registry-mirrors": ["https://mirror.example.com"] })
    );
}

#[test]
fn docker_is_warned_where_hub_is_not_the_default() {
    let place = Place::new();
    place.write("proxy.toml", "[[upstream]]\nname = \"docker.io\"\n");
    let said = place.run("client docker");
    assert!(
        said.stderr.contains("Warning: dockerd names no registry"),
        "{}",
        said.stderr
    );
    assert_eq!(said.code, Some(0));
}

#[test]
fn containerd_gets_a_file_for_each_registry() {
    let said = place().run(&format!("client containerd {LAN}"));
    for part in [
        "io.containerd.grpc.v1.cri",
        "io.containerd.cri.v1.images",
        "--hosts-dir",
    ] {
        assert!(said.stderr.contains(part), "{}", said.stderr);
    }
    let file = |name: &str, server: &str| {
        format!(
            "# /etc/containerd/certs.d/{name}/hosts.toml\n{MARK}\
             server = \"{server}\"\n\n\
             [host.\"http://10.0.0.5:5000\"]\n  capabilities = [\"pull\", \"resolve\"]\n\n"
        )
    };
    let (hub, own) = (
        file("docker.io", "https://registry-1.docker.io"),
        file("localhost:8443", "http://localhost:8443"),
    );
    assert_eq!(said.well(), format!("{hub}{own}"));
    for text in [hub, own] {
        let hosts: toml::Table = text.parse().unwrap();
        let host = &hosts["host"]["http://10.0.0.5:5000"];
        assert_eq!(host["capabilities"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn podman_gets_a_drop_in() {
    let said = place().run(&format!("client podman {LAN}")).well();
    let expected = toml::toml! {
        [[registry]]
        prefix = "docker.io"
        location = "docker.io"

        [[registry.mirror]]
        location = "10.0.0.5:5000/docker.io"
        insecure = true

        [[registry]]
        prefix = "localhost:8443"
        location = "localhost:8443"
        insecure = true

        [[registry.mirror]]
        location = "10.0.0.5:5000/localhost_8443"
        insecure = true
    };
    assert!(said.starts_with("# /etc/containers/registries.conf.d/50-tidegate.conf\n"));
    assert_eq!(said.parse::<toml::Table>().unwrap(), expected);
    let tls = place()
        .run("client podman --url https://mirror.example.com")
        .well();
    let tls: toml::Table = tls.parse().unwrap();
    let mirror = &tls["registry"][0]["mirror"][0];
    assert_eq!(
        mirror["location"].as_str(),
        Some("mirror.example.com/docker.io")
    );
    assert!(mirror.get("insecure").is_none());
}

#[test]
fn buildkit_gets_its_toml() {
    let said = place().run(&format!("client buildkit {LAN}")).well();
    let expected = toml::toml! {
        [registry."docker.io"]
        mirrors = ["10.0.0.5:5000"]

        [registry."localhost:8443"]
        mirrors = ["10.0.0.5:5000"]

        [registry."10.0.0.5:5000"]
        http = true
    };
    assert!(said.starts_with("# /etc/buildkit/buildkitd.toml\n"));
    assert_eq!(said.parse::<toml::Table>().unwrap(), expected);
}

#[test]
fn k3s_gets_its_yaml() {
    let said = place().run(&format!("client k3s {LAN}")).well();
    let expected = format!(
        r#"# /etc/rancher/k3s/registries.yaml
{MARK}mirrors:
  "docker.io":
    endpoint:
      - "http://10.0.0.5:5000"
  "localhost:8443":
    endpoint:
      - "http://10.0.0.5:5000"

"#
    );
    assert_eq!(said, expected);
}

#[test]
fn the_address_is_the_one_that_clients_reach() {
    let place = Place::new();
    for (listen, url) in [
        ("listen = \"0.0.0.0:7000\"", "http://127.0.0.1:7000"),
        (
            "listen = [\"[::1]:7000\", \"10.0.0.1:80\"]",
            "http://[::1]:7000",
        ),
        ("listen = \"10.0.0.1:80\"", "http://10.0.0.1"),
        (
            "listen = \"10.0.0.1:443\"\ntls = { cert = \"c\", key = \"k\" }",
            "https://10.0.0.1",
        ),
    ] {
        place.write("proxy.toml", &format!("[server]\n{listen}\n"));
        let said = place.run("client docker").well();
        assert!(said.contains(&format!("\"{url}\"")), "{listen}: {said}");
    }
    place.write("proxy.toml", "[server]\nlisten = \"127.0.0.1:0\"\n");
    assert!(place.run("client docker").failed(2).contains("give --url"));
    for url in [
        "10.0.0.5:5000",
        "ftp://a",
        "http://a/b",
        "http://u@a",
        "http://",
    ] {
        let said = place.run(&format!("client docker --url {url}")).failed(2);
        assert!(said.contains(&format!("--url {url}")), "{said}");
    }
}

#[test]
fn writing_twice_changes_nothing() {
    let place = place();
    let write = |kind: &str| {
        place
            .run(&format!("client {kind} {LAN} --write --root root"))
            .well()
    };
    for (kind, files) in [
        ("docker", &["etc/docker/daemon.json"][..]),
        (
            "containerd",
            &[
                "etc/containerd/certs.d/docker.io/hosts.toml",
                "etc/containerd/certs.d/localhost:8443/hosts.toml",
            ],
        ),
        (
            "podman",
            &["etc/containers/registries.conf.d/50-tidegate.conf"],
        ),
        ("buildkit", &["etc/buildkit/buildkitd.toml"]),
        ("k3s", &["etc/rancher/k3s/registries.yaml"]),
    ] {
        let lines = |word: &str| {
            files
                .iter()
                .map(|file| format!("{word:<11}root/{file}\n"))
                .collect::<String>()
        };
        assert_eq!(write(kind), lines("written"));
        let printed = place.run(&format!("client {kind} {LAN}")).well();
        for file in files {
            assert!(
                printed.contains(&place.read(&format!("root/{file}"))),
                "{file}"
            );
        }
        assert_eq!(write(kind), lines("unchanged"));
        for file in files {
            assert!(!place.exists(&format!("root/{file}.bak-1")));
        }
    }
}

#[test]
fn daemon_json_is_merged_and_kept() {
    let place = place();
    let before = "{\n  \"log-driver\": \"local\",\n  \"registry-mirrors\": [\"https://b\"]\n}\n";
    place.write("root/etc/docker/daemon.json", before);
    let said = place.run("client docker --write --root root").well();
    assert_eq!(
        said,
        "changed    root/etc/docker/daemon.json (before: root/etc/docker/daemon.json.bak-1)\n"
    );
    assert_eq!(place.read("root/etc/docker/daemon.json.bak-1"), before);
    let after = place.read("root/etc/docker/daemon.json");
    let json: serde_json::Value = serde_json::from_str(&after).unwrap();
    assert_eq!(
        json,
        json!({ "log-driver": "local", "registry-mirrors": ["http://127.0.0.1:5000", "https://b"] })
    );
    assert!(
        after.find("log-driver") < after.find("registry-mirrors"),
        "{after}"
    );

    // Another address: another backup.
    place
        .run(&format!("client docker {LAN} --write --root root"))
        .well();
    assert_eq!(place.read("root/etc/docker/daemon.json.bak-2"), after);

    place.write("root/etc/docker/daemon.json", "{ broken");
    let said = place.run("client docker --write --root root").failed(3);
    assert!(
        said.contains("it is not a JSON object; repair it first"),
        "{said}"
    );
    assert_eq!(place.read("root/etc/docker/daemon.json"), "{ broken");
}

#[test]
fn files_of_others_are_left_alone() {
    let place = place();
    let other = "root/etc/containerd/certs.d/docker.io/hosts.toml";
    place.write(other, "server = \"https://other\"\n");
    let said = place.run("client containerd --write --root root");
    assert!(
        said.stdout.contains(&format!("failed     {other}\n")),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout
            .contains("written    root/etc/containerd/certs.d/localhost:8443/hosts.toml\n")
    );
    let said = said.failed(1);
    assert!(said.contains("not from tidegate"), "{said}");
    assert!(said.contains("[host.\"http://127.0.0.1:5000\"]"), "{said}");
    assert_eq!(place.read(other), "server = \"https://other\"\n");

    // A file that is ours follows the configuration.
    let own = "root/etc/containerd/certs.d/localhost:8443/hosts.toml";
    let before = place.read(own);
    let said = place.run(&format!("client containerd {LAN} --write --root root"));
    assert!(
        said.stdout
            .contains(&format!("changed    {own} (before: {own}.bak-1)\n")),
        "{}",
        said.stdout
    );
    assert_eq!(place.read(&format!("{own}.bak-1")), before);
    assert!(place.read(own).contains("10.0.0.5"));
    assert_eq!(said.code, Some(1));
}
