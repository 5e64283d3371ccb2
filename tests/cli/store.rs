use serde_json::Value;
use tidegate::oci::Digest;

use super::Place;
use super::serving::Serving;
use super::upstream::Upstream;
use super::upstream::answer;
use super::upstream::get;

const TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = r#"{"architecture":"amd64"}"#;

fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

fn manifest() -> String {
    let config = format!(
        r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}}"#,
        digest(CONFIG),
        CONFIG.len()
    );
    format!(r#"{{"schemaVersion":2,"mediaType":"{TYPE}","config":{config},"layers":[]}}"#)
}

/// A store with one image in it: `a.io/team/app:1`.
fn filled() -> Place {
    let place = Place::new();
    let upstream = Upstream::start(|asked| {
        let manifest = manifest();
        if asked.path.contains("/manifests/") {
            let headers = [
                ("Content-Type", TYPE),
                ("Docker-Content-Digest", &digest(&manifest)),
            ];
            answer(asked, "200 OK", &headers, &manifest)
        } else {
            answer(
                asked,
                "200 OK",
                &[("Content-Type", "application/octet-stream")],
                CONFIG,
            )
        }
    });
    place.write(
        "proxy.toml",
        &format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n[store]\npath = \"data\"\n\
             [[upstream]]\nname = \"a.io\"\nurl = \"http://{}\"\nplain_http = true\n",
            upstream.address
        ),
    );
    let serving = Serving::start(&place, "");
    let tag = get(serving.front, "/v2/a.io/team/app/manifests/1");
    assert_eq!(tag.status, 200, "{}", tag.text);
    let blob = get(
        serving.front,
        &format!("/v2/a.io/team/app/blobs/{}", digest(CONFIG)),
    );
    assert_eq!(blob.status, 200, "{}", blob.text);
    serving.signal(rustix::process::Signal::TERM);
    let (code, log) = serving.end();
    assert_eq!(code, Some(0), "{log}");
    place
}

fn json(place: &Place, args: &str) -> Value {
    serde_json::from_str(&place.run(args).well()).expect("JSON")
}

#[test]
fn an_image_is_listed_measured_and_removed() {
    let place = filled();
    let size = (manifest().len() + CONFIG.len()) as u64;
    let said = place.run("store ls").well();
    let line = format!("a.io/team/app:1  {}  {size} B  ", digest(&manifest()));
    assert!(
        said.starts_with(&line) && said.lines().count() == 1,
        "{said}"
    );
    let listed = json(&place, "store ls --json");
    assert_eq!(listed[0]["repository"], "a.io/team/app");
    assert_eq!(listed[0]["tags"][0]["size"], size);

    let said = place.run("store du").well();
    assert!(
        said.contains(&format!("{size} B own,        0 B shared  a.io/team/app\n")),
        "{said}"
    );
    assert!(
        said.ends_with(&format!("{size} B  in all, 2 blobs and manifests\n")),
        "{said}"
    );
    assert_eq!(json(&place, "store du --json")["bytes"], size);

    let said = place.run("store rm a.io/team/app:2 a.io/team/app:1");
    assert!(
        said.stdout.starts_with(
            "failed  a.io/team/app:2: there is no such thing\nremoved a.io/team/app:1: 1 tags"
        ),
        "{}",
        said.stdout
    );
    assert_eq!(said.code, Some(1));
    place.run("store rm a.io/team/app:1").failed(3);
    assert!(
        place
            .run("store rm nginx")
            .failed(2)
            .contains("UPSTREAM/NAME")
    );

    place.run("store rm a.io/team/app").well();
    let said = place.run("store gc").well();
    assert!(
        said.starts_with(&format!("removed 2 blobs and manifests ({size} B)")),
        "{said}"
    );
    assert_eq!(json(&place, "store gc --json")["blobs"], 0);
    assert_eq!(json(&place, "store ls --json"), Value::Array(Vec::new()));
}

#[test]
fn what_is_corrupt_is_found_and_repaired() {
    let place = filled();
    let said = place.run("store verify").well();
    assert!(
        said.starts_with("2 blobs and manifests (") && said.contains(": 0 wrong;"),
        "{said}"
    );

    let hex = digest(CONFIG).replace("sha256:", "");
    let blob = format!(
        "data/docker/registry/v2/blobs/sha256/{}/{hex}/data",
        &hex[..2]
    );
    assert_eq!(place.read(&blob), CONFIG);
    place.write(&blob, &CONFIG.replace("amd64", "arm64"));
    let said = place.run("store verify");
    assert!(
        said.stdout
            .starts_with(&format!("wrong   {}: ", digest(CONFIG))),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains("verify --repair"), "{}", said.stdout);
    assert_eq!(said.code, Some(1));

    let said = json(&place, "store verify --repair --json");
    assert_eq!(said["problems"][0]["kind"], "corrupt");
    assert_eq!(said["problems"][0]["removed"], true);
    assert!(!place.exists(&blob));
    place.run("store verify").well();
}

#[test]
fn where_there_is_no_store_it_says_so() {
    let place = Place::new();
    for command in ["ls", "du", "verify", "gc"] {
        let said = place.run(&format!("store {command}")).failed(3);
        assert!(said.contains("there is no store here"), "{said}");
    }
    assert!(!place.exists("tidegate-data"));
}
