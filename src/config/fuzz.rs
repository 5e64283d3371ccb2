//! Random `proxy.toml`s: what is right loads, what is wrong is refused with a line that there is,
//! and no secret is ever repeated.

use fake_registry::Fuzz;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const SECRET: &str = "hunter2-and-more";
/// A file with every kind of key; broken ones are made by changing it.
const EVERYTHING: &str = r#"[server]
listen = ["127.0.0.1:${PORT}", "[::1]:5000"]
admin = "off"
tls = { cert = "tls.crt", key = "tls.key", client_ca = "ca.crt" }
drain_timeout = "1m"
header_timeout = "3s"
idle_timeout = "4s"
max_connections = 5

[store]
enabled = true
path = "/var/lib/tidegate"
max_size = "10GB"

[defaults]
tag_ttl = "1h"
negative_ttl = "0s"
on_disconnect = "abort"
connect_timeout = "1s"
header_timeout = "${WAIT:-2s}"
idle_timeout = "3s"

[[upstream]]
name = "docker.io"
default = true
credentials = { token = "hunter2-and-more" }

[[upstream]]
name = "corp.example:8443"
url = "http://corp.example:8443/prefix"
credentials = { username = "me", password = "hunter2-and-more" }
ca = "corp.crt"
plain_http = true
allow = ["library/*"]
deny = ["library/secret"]
fallback = ["https://mirror.gcr.io"]
tag_ttl = "2h"
max_concurrent = 3
parallel_ranges = 3

[[target]]
name = "harbor"
url = "https://harbor.example/mirror"
repository = "cache/{upstream}/{repository}"
only = ["docker.io/library/*"]
credentials = { username = "robot", password = "hunter2-and-more" }
complete = "requested"
read = true
catalog_ttl = "1d"

[[prefetch]]
name = "base"
from = ["docker.io/library/nginx", "docker.io/library/*"]
tags = { include = ["1.*", "/^v/"], semver = ">=1.25", latest = 5, since = "2026-03-01" }
platforms = ["linux/amd64"]
to = ["store", "harbor"]
prune = "delete"
schedule = "0 */6 * * *"
quiet = "08:00-18:00"
bandwidth = "50MiB/s"
"#;
/// What may stand in place of a value, or anywhere.
const JUNK: &[&str] = &[
    "0",
    "-1",
    "true",
    r#""""#,
    r#""1s""#,
    r#""0s""#,
    r#""99999999999999999y""#,
    r#""500000000000y""#,
    r#""1TiB""#,
    r#""0""#,
    "[]",
    "{}",
    "[[]]",
    r#""${""#,
    r#""${}""#,
    r#""${A:-${B}}""#,
    r#""${NOWHERE}""#,
    "1979-05-27",
    "nan",
    r#""https://u:p@x""#,
    r#""ftp://x""#,
    r#""{a""#,
    r#""[""#,
    "'''",
    "\"\"\"",
    "\0",
    "\r\n",
    "\u{fe0f}",
    "#",
    "=",
    "[server]",
    "[[upstream]]",
    "[[target]]",
    "[[prefetch]]",
    r#"from = "file:x""#,
    r#"every = "6h""#,
    r#""openshift:4.20.8""#,
    r#""/(/""#,
    r#""*""#,
    r#"repository = "{repository}""#,
    r#"name = "docker.io""#,
    r#""unlimited""#,
    "99999999999999999999",
    r#""99999999999999999999GiB""#,
    r#""127.0.0.1:0""#,
    r#"credentials = { password = "hunter2-and-more", "#,
    r#""${hunter2-and-more}""#,
    r#""hunter2-and-more""#,
];

fn load(text: &str) -> Result<Config, Error> {
    let environment = |name: &str| (name == "PORT").then(|| "6000".to_owned());
    read(text, Path::new("proxy.toml"), &environment)
}

/// A refusal names the file and a line that there is, and repeats no secret.
fn check(text: &str) {
    let error = match load(text) {
        Ok(config) => {
            let hidden = |it: &Upstream| !format!("{:?}", it.registry.credentials).contains(SECRET);
            assert!(config.upstreams.iter().all(hidden));
            // Whoever waits adds them to the time of day.
            let now = std::time::Instant::now();
            let waits = config
                .upstreams
                .iter()
                .map(|it| it.registry.timeouts.idle_body);
            let waits = waits.chain([config.front.idle_timeout, config.flow.negative_ttl]);
            assert!(
                waits
                    .map(|wait| now.checked_add(wait))
                    .all(|end| end.is_some())
            );
            return;
        }
        Err(error) => error,
    };
    let Error::Invalid { line, problem, .. } = &error else {
        panic!("{error:?}");
    };
    let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    assert!((1..=lines).contains(line), "line {line} of {lines}");
    let said = error.to_string();
    assert!(said.starts_with(&format!("proxy.toml:{line}: ")), "{said}");
    // Where a key should stand, it is taken for one: which key is wrong has to be said.
    assert!(!problem.contains(SECRET), "{said}");
}

/// The file with every kind of key, after some changes to its lines.
fn changed() -> impl Strategy<Value = String> {
    let junk = prop_oneof![
        4 => prop::sample::select(JUNK).prop_map(str::to_owned),
        1 => "[ -~]{0,12}",
        1 => any::<String>(),
    ];
    let change = (any::<Index>(), junk, 0..7_u8);
    prop::collection::vec(change, 0..5).prop_map(|changes| {
        let mut lines: Vec<String> = EVERYTHING.lines().map(str::to_owned).collect();
        for (at, junk, how) in changes {
            if lines.is_empty() {
                break;
            }
            let at = at.index(lines.len());
            let line = &mut lines[at];
            match how {
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, junk),
                2 => *line = format!("{}= {junk}", line.split('=').next().unwrap_or_default()),
                3 => line.push_str(&junk),
                4 => line.insert_str(0, &junk),
                5 => {
                    let copy = line.clone();
                    lines.push(copy);
                }
                _ => lines.truncate(at),
            }
        }
        lines.join("\n")
    })
}

#[test]
fn broken_files() {
    load(EVERYTHING).expect("the file that is changed is right");
    let inputs = prop_oneof![9 => changed(), 1 => any::<String>()];
    Fuzz::new(2000).run("proxy.toml, broken", &inputs, |text| check(&text));
}

fn durations() -> impl Strategy<Value = String> {
    prop_oneof![
        (1..100_000_u64).prop_map(|n| format!("{n}s")),
        (1..1000_u64, 1..60_u64).prop_map(|(h, m)| format!("{h}h {m}m")),
        (1..5000_u64).prop_map(|n| format!("{n}ms")),
    ]
}

fn credentials() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(r#""docker-config""#.to_owned()),
        Just(r#""anonymous""#.to_owned()),
        "[a-zA-Z0-9!#-&(-+]{1,20}"
            .prop_map(|text| { format!("{{ token = '{}' }}", text.replace('{', "(")) }),
        "[a-z]{1,9}".prop_map(|text| format!("{{ helper = '{text}' }}")),
        "[a-z/.]{1,9}".prop_map(|text| format!("{{ file = '{text}' }}")),
        ("[a-z]{1,9}", "[ -&(-~]{1,20}").prop_map(|(user, password)| {
            let password = password.replace('{', "(");
            format!("{{ username = '{user}', password = '{password}' }}")
        }),
    ]
}

/// A right file, as a person may write it, and how many upstreams it has.
fn right() -> impl Strategy<Value = (String, usize)> {
    let server = (
        any::<Option<u16>>(),
        prop::option::of(durations()),
        1..10_000_u32,
    );
    let server = server.prop_map(|(port, wait, most)| {
        let mut text = format!("[server]\nmax_connections = {most}\n");
        text += &port.map_or(String::new(), |port| {
            format!("listen = '127.0.0.1:{port}'\n")
        });
        text + &wait.map_or(String::new(), |wait| format!("idle_timeout = '{wait}'\n"))
    });
    let size = prop_oneof![
        Just("unlimited".to_owned()),
        "[1-9][0-9]{0,5}(B|kB|KiB|MB|GiB| TiB)"
    ];
    let names = prop::collection::btree_set("[a-z]{1,8}[.](io|dev|example)", 0..6);
    let upstream = (credentials(), prop::option::of(durations()), any::<bool>());
    let upstreams = (names, prop::collection::vec(upstream, 6));
    (server, size, upstreams).prop_map(|(server, size, (names, upstreams))| {
        let mut text = format!("{server}\n[store]\nmax_size = '{size}'\n");
        for (at, (name, (credentials, ttl, plain))) in names.iter().zip(&upstreams).enumerate() {
            text += &format!("\n[[upstream]]\nname = '{name}'\ncredentials = {credentials}\n");
            text += if *plain {
                "url = 'http://x.test'\nplain_http = true\n"
            } else {
                ""
            };
            text += &ttl
                .as_ref()
                .map_or(String::new(), |ttl| format!("tag_ttl = '{ttl}'\n"));
            text += if at == 1 { "default = true\n" } else { "" };
        }
        (text, names.len())
    })
}

#[test]
fn right_files() {
    Fuzz::new(1000).run("proxy.toml, right", &right(), |(text, upstreams)| {
        let config = load(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let expected = match upstreams {
            0 => upstream::BUILT_IN.len(),
            some => some,
        };
        assert_eq!(config.upstreams.len(), expected, "{text}");
    });
}
