use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use fake_registry::ReservedPort;
use serde_json::Value;
use tidegate::ledger::FlowId;
use tidegate::oci::Digest;
use tidegate::oci::Repository;
use tidegate::target::Errand;
use tidegate::target::State;

use super::Place;
use super::Said;
use super::serving::Serving;

const TTL: Duration = Duration::from_secs(60 * 60);

fn file(place: &Place) -> PathBuf {
    place.path().join("data/tidegate/targets.redb")
}

/// A configuration with the targets `near` and `far`, which nobody can reach.
fn configured(admin: &str) -> Place {
    let place = Place::new();
    let target = |name: &str| {
        format!(
            "[[target]]\nname = \"{name}\"\nurl = \"http://127.0.0.1:2\"\nplain_http = true\n\
             repository = \"mirror/{{repository}}\"\ncredentials = \"anonymous\"\n"
        )
    };
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"{admin}\"\n\
         admin_login = {{ tokens = \"tokens\" }}\n[store]\npath = \"data\"\n\
         [[upstream]]\nname = \"a.io\"\nurl = \"http://127.0.0.1:1\"\nplain_http = true\n\
         credentials = \"anonymous\"\n{}{}",
        target("near"),
        target("far")
    );
    place.write("proxy.toml", &config);
    place.write("tokens", "ops:open-sesame\n");
    place
}

/// What a proxy may leave: something owed to `near` that has failed, and some entries.
fn left(place: &Place) {
    let state = State::open(&file(place)).unwrap();
    let errand = Errand {
        repository: Repository::new("a.io".parse().unwrap(), "team/app".parse().unwrap()),
        digest: Digest::of(b"x"),
        tag: Some("v1".parse().unwrap()),
        flow: FlowId::next(),
    };
    let queue = state.queue("near");
    queue.owe(&errand);
    queue.failed(&errand, "no room there", SystemTime::now() + TTL);
    let catalog = state.catalog("near", TTL);
    for repository in ["mirror/team/app", "mirror/other"] {
        catalog.note(&repository.parse().unwrap(), &Digest::of(b"x"));
    }
    let gone = state.catalog("gone", TTL);
    gone.note(&"a".parse().unwrap(), &Digest::of(b"x"));
}

fn json(said: Said) -> Value {
    serde_json::from_str(&said.well()).unwrap()
}

#[test]
fn what_is_kept_can_be_seen_and_forgotten_without_a_proxy() {
    let place = configured("off");
    let said = place.run("target status").well();
    assert!(said.contains("no proxy runs"), "{said}");
    assert!(!file(&place).exists(), "a look makes nothing");
    assert!(place.run("target forget near").well().contains("forgot 0"));

    left(&place);
    let said = place.run("target status").well();
    for part in [
        "TARGET",
        "a.io/team/app:v1",
        "failed once: no room there",
        "again at",
    ] {
        assert!(said.contains(part), "no '{part}' in\n{said}");
    }
    let all = json(place.run("target status --json"));
    assert_eq!(all["running"], false);
    let names = all["targets"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|target| target["name"].clone()).collect();
    assert_eq!(names, ["near", "far", "gone"]);
    let near = &json(place.run("target status near --json"))["targets"][0];
    assert_eq!(near["owed"], 1);
    assert_eq!(near["catalog"]["entries"], 2);
    assert_eq!(near["errands"][0]["attempts"], 1);

    let said = json(place.run("target forget near mirror/other --json"));
    assert_eq!(said["forgotten"], 1, "{said}");
    let said = place.run("target forget near").well();
    assert_eq!(said, "forgot 1 entries of near\n");
    assert!(place.run("target forget gone").well().contains("forgot 1"));
    let rest = json(place.run("target status --json"));
    assert_eq!(rest["targets"].as_array().unwrap().len(), 2);
    assert_eq!(rest["targets"][0]["owed"], 1, "what is owed stays owed");
}

#[test]
fn a_target_that_is_not_there_is_said() {
    let place = configured("off");
    for command in ["target status nowhere", "target forget nowhere"] {
        let said = place.run(command).failed(2);
        assert!(said.contains("there are: near, far"), "{said}");
    }
    left(&place);
    let said = place.run("target forget nowhere").failed(2);
    assert!(said.contains("there are: near, far"), "{said}");
    assert!(place.run("target forget near A").failed(2).contains("'A'"));
    let none = Place::new();
    let said = none.run("target status near").failed(2);
    assert!(said.contains("no [[target]]"), "{said}");
}

#[test]
fn a_running_proxy_is_asked() {
    let port = ReservedPort::new();
    let place = configured(&port.address().to_string());
    left(&place);
    let _serving = Serving::with_admin(&place, "");
    let all = json(place.run("target status --json"));
    assert_eq!(all["running"], true);
    assert_eq!(all["targets"][0]["owed"], 1, "{all}");
    assert_eq!(all["targets"][0]["url"], "http://127.0.0.1:2/");
    let said = place.run("target status near").well();
    assert!(said.contains("a.io/team/app:v1"), "{said}");
    assert!(!said.contains("far"), "{said}");

    let said = place.run("target forget near mirror/other").well();
    assert_eq!(said, "forgot 1 entries of mirror/other of near\n");
    let said = place.run("target forget nowhere").failed(2);
    assert!(said.contains("there is no target 'nowhere'"), "{said}");

    // The file of tokens may hold digests only.
    place.write(
        "tokens",
        "ops:sha256:0000000000000000000000000000000000000000000000000000000000000000\n",
    );
    let said = place.run("target status").failed(3);
    assert!(said.contains("TIDEGATE_ADMIN_TOKEN"), "{said}");
    let mut command = place.command("target status");
    let said = Said::of(command.env("TIDEGATE_ADMIN_TOKEN", "open-sesame"));
    assert!(said.well().contains("a.io/team/app:v1"));
}

#[test]
fn the_file_of_a_running_proxy_is_left_alone() {
    let place = configured("off");
    left(&place);
    let _serving = Serving::start(&place, "");
    let said = place.run("target status").failed(3);
    assert!(said.contains("let `server.admin` be an address"), "{said}");
}
