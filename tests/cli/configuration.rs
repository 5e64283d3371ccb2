use super::Place;
use super::Said;

#[test]
fn a_typo_is_named_with_file_line_and_key() {
    let place = Place::new();
    place.write(
        "proxy.toml",
        "[server]\nlisten = \"127.0.0.1:0\"\n\n[[upstream]]\nname = \"a.io\"\nulr = \"https://a.io\"\n",
    );
    let expected = "error: proxy.toml:6: upstream.ulr: there is no such key; did you mean `url`?\n";
    for command in [
        "serve",
        "check",
        "check --offline",
        "client docker",
        "store ls",
    ] {
        let said = place.run(command);
        assert_eq!(said.stdout, "");
        assert_eq!(said.failed(2), expected, "{command}");
    }
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let place = Place::new();
    let said = place.run("check --offline --config other.toml").failed(2);
    assert_eq!(
        said,
        "error: other.toml: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_json_log_has_json_errors() {
    let place = Place::new();
    place.write("proxy.toml", "[store]\nmax_size = \"0\"\n");
    let said = place.run("--log-format json serve").failed(2);
    let line: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(line["level"], "ERROR");
    let message = line["message"].as_str().unwrap();
    assert!(
        message.starts_with("proxy.toml:2: store.max_size: "),
        "{message}"
    );
}

#[test]
fn the_environment_fills_in() {
    let place = Place::new();
    place.write(
        "proxy.toml",
        "[server]\nlisten = \"127.0.0.1:${TIDEGATE_TEST_PORT:-5005}\"\n[store]\npath = \"x\"\n",
    );
    let said = place.run("client k3s").well();
    assert!(said.contains("http://127.0.0.1:5005"), "{said}");
    let mut command = place.command("client k3s");
    let said = Said::of(command.env("TIDEGATE_TEST_PORT", "5006")).well();
    assert!(said.contains("http://127.0.0.1:5006"), "{said}");
    let mut command = place.command("client k3s");
    let said = Said::of(command.env("TIDEGATE_TEST_PORT", "many")).failed(2);
    assert!(
        said.starts_with("error: proxy.toml:2: server.listen: "),
        "{said}"
    );
}

#[test]
fn check_offline_asks_nobody_and_makes_nothing() {
    let place = Place::new();
    let said = place.run("check --offline").well();
    let (first, second) = said.split_once('\n').unwrap();
    assert_eq!(
        first,
        "ok      configuration: built-in defaults (there is no proxy.toml here)"
    );
    assert!(
        second.starts_with("ok      store: ") && second.contains("50.0 GiB at most"),
        "{said}"
    );
    assert!(!place.exists("tidegate-data"));

    place.write("proxy.toml", "[store]\npath = \"/proc/nowhere\"\n");
    let said = place.run("check --offline --json");
    let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(report["configuration"], "proxy.toml");
    assert_eq!(report["store"]["ok"], false);
    assert!(
        report["store"]["advice"]
            .as_str()
            .unwrap()
            .contains("store.path")
    );
    assert_eq!(said.code, Some(3));
}

#[test]
fn check_running_needs_an_admin_listener() {
    let place = Place::new();
    place.write("proxy.toml", "[server]\nadmin = \"off\"\n");
    assert!(
        place
            .run("check --running")
            .failed(2)
            .contains("server.admin")
    );

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    place.write("proxy.toml", &format!("[server]\nadmin = \"{address}\"\n"));
    let said = place.run("check --running").failed(3);
    assert!(
        said.starts_with(&format!(
            "error: http://{address}/healthz: is tidegate running?"
        )),
        "{said}"
    );
}
