//! `tidegate tags`, with an upstream that says what a test wants.

use serde_json::Value;

use super::Place;
use super::upstream::Upstream;

const TAGS: &str = r#"{"name":"team/app","tags":["1.9.0","1.10.0","1.10.0-alpine","latest"]}"#;

fn json(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Has tags of `team/app` and of `team/db`, and nothing else.
fn registry() -> Upstream {
    Upstream::start(
        |asked| match asked.path.split('?').next().unwrap_or_default() {
            "/v2/" => json("200 OK", "{}"),
            "/v2/team/app/tags/list" => json("200 OK", TAGS),
            "/v2/team/db/tags/list" => json("200 OK", r#"{"name":"team/db","tags":["2"]}"#),
            _ => json("404 Not Found", r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#),
        },
    )
}

/// A place with a configuration of that registry, and of sets.
fn place(registry: &Upstream) -> Place {
    let place = Place::new();
    let address = registry.address;
    place.write(
        "proxy.toml",
        &format!(
            r#"
            [[upstream]]
            name = "a.test"
            url = "http://{address}"
            plain_http = true
            credentials = "anonymous"
            [[prefetch]]
            name = "newest"
            from = ["a.test/team/app", "file:images.txt"]
            tags = {{ semver = ">=1", latest = 1 }}
            [[prefetch]]
            name = "broken"
            from = ["a.test/team/app", "a.test/team/gone"]
            [[prefetch]]
            name = "gone"
            from = "a.test/team/gone"
            "#
        ),
    );
    place.write("images.txt", "a.test/team/db:2\n");
    place
}

#[test]
fn each_tag_is_in_or_out_for_a_reason() {
    let registry = registry();
    let place = place(&registry);
    let said = place
        .run("tags a.test/team/app --semver >=1 --latest 1")
        .well();
    assert_eq!(
        said,
        "a.test/team/app: 1 of 4 tags\n  \
         IN   1.10.0\n  \
         OUT  latest         no semantic version\n  \
         OUT  1.10.0-alpine  a pre-release or variant (-alpine); set prerelease = true, or \
         include '*-alpine'\n  \
         OUT  1.9.0          not among the latest 1 (semver)\n\n\
         1 image\n"
    );
    let all = place.run("tags a.test/team/app").well();
    assert!(all.starts_with("a.test/team/app: 4 of 4 tags\n"), "{all}");
    // Other keys arrive as well.
    let some = place.run("tags a.test/team/app --include 1.* --exclude /-alpine$/ --json");
    let some: Value = serde_json::from_str(&some.well()).unwrap();
    let tags = some["repositories"][0]["tags"].as_array().unwrap();
    let taken = tags.iter().filter(|tag| tag["in"] == true);
    let taken: Vec<_> = taken.map(|tag| tag["tag"].as_str().unwrap()).collect();
    assert_eq!(taken, ["1.10.0", "1.9.0"]);
    let alpine = tags.iter().find(|tag| tag["tag"] == "1.10.0-alpine");
    assert_eq!(alpine.unwrap()["why"], "excluded by '/-alpine$/'");
    assert_eq!(some["failed"], serde_json::json!([]));
    assert_eq!(registry.count("/manifests/"), 0);
}

#[test]
fn a_set_of_the_configuration_is_shown() {
    let registry = registry();
    let place = place(&registry);
    let said = place.run("tags --set newest").well();
    assert!(
        said.starts_with("a.test/team/app: 1 of 4 tags\n  IN   1.10.0\n"),
        "{said}"
    );
    let end = "named one by one:\n  IN   a.test/team/db:2\n\n2 images\n";
    assert!(said.ends_with(end), "{said}");
    // As the set would choose elsewhere.
    let other = place.run("tags a.test/team/db --set newest").well();
    assert_eq!(other, "a.test/team/db: 1 of 1 tags\n  IN   2\n\n1 image\n");
}

#[test]
fn what_could_not_be_asked_is_said_and_is_1_or_3() {
    let registry = registry();
    let place = place(&registry);
    let broken = place.run("tags --set broken");
    assert!(broken.stdout.contains("4 of 4 tags"), "{}", broken.stdout);
    assert!(broken.stdout.ends_with("4 images; 1 could not be asked\n"));
    let said = broken.failed(1);
    assert!(
        said.contains("a.test/team/gone: ") && said.contains("is its name right?"),
        "{said}"
    );
    place.run("tags --set gone").failed(3);
    let gone = place.run("tags --set gone --json");
    let report: Value = serde_json::from_str(&gone.stdout).unwrap();
    assert_eq!(report["failed"][0]["what"], "a.test/team/gone");
}

#[test]
fn what_is_written_wrong_is_2() {
    let registry = registry();
    let place = place(&registry);
    for (args, said) in [
        ("tags", "REPOSITORY"),
        (
            "tags --set none",
            "there is no set none, but newest, broken, gone",
        ),
        ("tags a.test/team/app:1", "names one image"),
        ("tags a.test/TEAM", "is not a repository name"),
        ("tags a.test/x --include [", "unclosed character class"),
        ("tags a.test/x --semver new", "unexpected character"),
        ("tags a.test/x --latest 0", "--latest"),
        ("tags a.test/x --order date", "--latest"),
        (
            "tags a.test/x --latest 1 --order size",
            "there is no such choice",
        ),
        ("tags a.test/x --since soon", "--since"),
        ("tags --set newest --latest 1", "cannot be used with"),
    ] {
        let error = place.run(args).failed(2);
        assert!(error.contains(said), "{args}: {error}");
    }
    assert_eq!(registry.count("/v2/"), 0);
    let none = Place::new().run("tags --set x").failed(2);
    assert!(
        none.contains("the configuration has no [[prefetch]]"),
        "{none}"
    );
}

/// A registry that is not configured is asked as docker would ask it.
#[test]
fn a_registry_needs_no_configuration() {
    let registry = registry();
    let place = Place::new();
    let repository = format!("{}/team/db", registry.address);
    let said = place.run(&format!("tags {repository} --plain-http")).well();
    assert!(
        said.starts_with(&format!("{repository}: 1 of 1 tags\n")),
        "{said}"
    );
}

#[test]
fn check_says_what_a_set_would_ask_for() {
    let registry = registry();
    let place = place(&registry);
    let checked = place.run("check --offline").well();
    let line = "prefetch newest: a.test/team/app, images.txt (1 image) to the store";
    assert!(checked.contains(line), "{line}\n{checked}");
    place.write("images.txt", "a.test/team/db:2\nghcr.io/a/b\nUPPER\n");
    let broken = place.run("check --offline");
    assert_eq!(broken.code, Some(1));
    let line = "images.txt:2: ghcr.io is no configured upstream (and 1 more like it)";
    assert!(broken.stdout.contains(line), "{}", broken.stdout);
    assert!(broken.stdout.contains("failed  prefetch newest"));
    assert_eq!(registry.count("/"), 0);
}
