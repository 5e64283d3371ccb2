use std::net::SocketAddr;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::mpsc;

use rustix::process::Signal;

use super::Place;
use super::serving::Serving;
use super::upstream::Upstream;
use super::upstream::answer;
use super::upstream::ask;
use super::upstream::get;

const PORTS: &str = "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n";
const NO_ADMIN: &str = "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n";

fn upstream(name: &str, upstream: &Upstream) -> String {
    let address = upstream.address;
    format!("[[upstream]]\nname = \"{name}\"\nurl = \"http://{address}\"\nplain_http = true\n")
}

#[test]
fn it_starts_while_every_upstream_is_down() {
    let place = Place::new();
    place.write(
        "proxy.toml",
        &format!(
            "{PORTS}[[upstream]]\nname = \"a.io\"\nurl = \"https://127.0.0.1:1\"\ndefault = true\n"
        ),
    );
    let serving = Serving::with_admin(&place, "");
    assert_eq!(get(serving.front, "/v2/").status, 200);
    let admin = serving.admin.unwrap();
    assert_eq!(get(admin, "/healthz").status, 200);
    assert_eq!(get(admin, "/readyz").status, 200);

    // Its own health check finds it: here through a file that has the port it took.
    place.write("running.toml", &format!("[server]\nadmin = \"{admin}\"\n"));
    assert_eq!(
        place.run("check --running --config running.toml").well(),
        ""
    );
    // A second one can't have the same store, though its ports are free.
    let said = place.run("serve").failed(3);
    assert!(
        said.contains("another tidegate serves from this store"),
        "{said}"
    );

    serving.signal(Signal::TERM);
    let (code, log) = serving.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("all that was under way is complete"), "{log}");
    place.run("check --running --config running.toml").failed(3);
}

#[test]
fn a_port_that_is_taken_is_3_and_named() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for listen in [
        format!("listen = \"{address}\"\nadmin = \"off\""),
        format!("listen = \"127.0.0.1:0\"\nadmin = \"{address}\""),
        format!("listen = [\"127.0.0.1:0\", \"{address}\"]\nadmin = \"off\""),
    ] {
        place.write("proxy.toml", &format!("[server]\n{listen}\n"));
        let said = place.run("serve").failed(3);
        assert!(
            said.starts_with(&format!("error: can't listen on {address}")),
            "{said}"
        );
        assert!(said.contains("in use"), "{said}");
    }
}

#[test]
fn files_that_can_not_be_used_are_named() {
    let place = Place::new();
    place.write(
        "proxy.toml",
        &format!("{NO_ADMIN}[[upstream]]\nname = \"a.io\"\nca = \"none.crt\"\n"),
    );
    let said = place.run("serve").failed(2);
    assert!(
        said.starts_with("error: upstream a.io: ") && said.contains("none.crt"),
        "{said}"
    );
    place.write(
        "proxy.toml",
        "[server]\nlisten = \"127.0.0.1:0\"\ntls = { cert = \"a.crt\", key = \"a.key\" }\n",
    );
    let said = place.run("serve").failed(2);
    assert!(said.contains("a.crt"), "{said}");
}

#[test]
fn logs_are_quiet_or_json_where_asked() {
    let place = Place::new();
    place.write("proxy.toml", NO_ADMIN);
    let serving = Serving::start(&place, "--log-format json");
    get(serving.front, "/v2/");
    let access = serving.line_with("GET");
    let line: serde_json::Value = serde_json::from_str(&access).unwrap();
    assert_eq!(
        (&line["level"], &line["target"]),
        (&"INFO".into(), &"tidegate::access".into())
    );
    serving.signal(Signal::INT);
    let (code, log) = serving.end();
    assert_eq!(code, Some(0), "{log}");
    for line in log.lines() {
        assert!(
            serde_json::from_str::<serde_json::Value>(line).is_ok(),
            "{line}"
        );
    }

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    place.write("proxy.toml", &format!("[server]\nlisten = \"{address}\"\n"));
    let said = place.run("-q serve").failed(3);
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// Wants a token, and knows no manifest.
fn with_token() -> Upstream {
    let own = Arc::new(OnceLock::new());
    let address = own.clone();
    let upstream = Upstream::start(move |asked| {
        let address: SocketAddr = *address.wait();
        if asked.path.starts_with("/token") {
            let token = r#"{"token":"t","expires_in":3600}"#;
            answer(
                asked,
                "200 OK",
                &[("Content-Type", "application/json")],
                token,
            )
        } else if asked.authorization.as_deref() == Some("Bearer t") {
            answer(asked, "404 Not Found", &[], "{}")
        } else {
            let challenge = format!("Bearer realm=\"http://{address}/token\",service=\"s\"");
            answer(
                asked,
                "401 Unauthorized",
                &[("WWW-Authenticate", &challenge)],
                "{}",
            )
        }
    });
    let _ = own.set(upstream.address);
    upstream
}

#[test]
fn a_reload_keeps_what_did_not_change() {
    let place = Place::new();
    let (first, second) = (with_token(), with_token());
    place.write(
        "proxy.toml",
        &format!("{NO_ADMIN}{}", upstream("a.io", &first)),
    );
    let serving = Serving::start(&place, "");
    let manifest = |upstream: &str, tag: &str| {
        let path = format!("/v2/{upstream}/b/manifests/{tag}");
        get(serving.front, &path)
    };
    let reload = |said: &str| {
        serving.signal(Signal::HUP);
        serving.line_with(said)
    };
    assert_eq!(manifest("a.io", "1").status, 404);
    assert_eq!(first.count("/token"), 1);
    assert!(manifest("b.io", "1").text.contains("NAME_UNKNOWN"));

    // A new upstream; the old one keeps its token.
    let both = format!(
        "{NO_ADMIN}{}{}",
        upstream("a.io", &first),
        upstream("b.io", &second)
    );
    place.write("proxy.toml", &both);
    reload("reloaded proxy.toml");
    assert!(manifest("b.io", "2").text.contains("MANIFEST_UNKNOWN"));
    assert_eq!(second.count("/b/manifests/2"), 2);
    assert_eq!(manifest("a.io", "2").status, 404);
    assert_eq!((first.count("/token"), second.count("/token")), (1, 1));

    // A broken file changes nothing.
    place.write("proxy.toml", &format!("{both}ulr = \"x\"\n"));
    let line = reload("keeping the old configuration");
    assert!(
        line.contains("ERROR") && line.contains("upstream.ulr"),
        "{line}"
    );
    assert_eq!(manifest("b.io", "3").status, 404);
    assert_eq!(second.count("/token"), 1);

    // What needs a restart is named; the rest is taken over: another default, and one fewer.
    let other = NO_ADMIN.replace("127.0.0.1:0", "127.0.0.2:0");
    let only = format!(
        "{other}[store]\npath = \"elsewhere\"\n{}default = true\n",
        upstream("b.io", &second)
    );
    place.write("proxy.toml", &only);
    let line = reload("reloaded proxy.toml");
    assert!(
        line.contains("WARN") && line.contains("server.listen, store.path"),
        "{line}"
    );
    assert!(manifest("a.io", "4").text.contains("NAME_UNKNOWN"));
    assert_eq!(get(serving.front, "/v2/c/manifests/4").status, 404);
    assert_eq!(second.count("/v2/c/manifests/4"), 1);
}

/// Holds every answer back until the sender is dropped, then knows no manifest.
fn holding() -> (Upstream, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (asked, heard) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let upstream = Upstream::start(move |request| {
        let _ = asked.send(());
        let _ = gate.lock().unwrap_or_else(PoisonError::into_inner).recv();
        answer(request, "404 Not Found", &[], "{}")
    });
    (upstream, heard, go)
}

#[test]
fn it_drains_what_is_under_way() {
    let place = Place::new();
    let (upstream_held, heard, go) = holding();
    place.write(
        "proxy.toml",
        &format!("{NO_ADMIN}{}", upstream("a.io", &upstream_held)),
    );
    let serving = Serving::start(&place, "");
    let reply = ask(serving.front, "/v2/a.io/b/manifests/1");
    heard.recv().unwrap();
    serving.signal(Signal::TERM);
    serving.line_with("ending; what is under way may take 25s");
    drop(go);
    assert_eq!(reply().status, 404);
    let (code, log) = serving.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("all that was under way is complete"), "{log}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let place = Place::new();
    let (upstream_held, heard, go) = holding();
    let patient = NO_ADMIN.to_owned() + "drain_timeout = \"1h\"\n";
    place.write(
        "proxy.toml",
        &format!("{patient}{}", upstream("a.io", &upstream_held)),
    );
    let serving = Serving::start(&place, "");
    let reply = ask(serving.front, "/v2/a.io/b/manifests/1");
    heard.recv().unwrap();
    serving.signal(Signal::TERM);
    serving.line_with("ending; what is under way may take 3600s");
    serving.signal(Signal::HUP);
    serving.signal(Signal::INT);
    let (code, log) = serving.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("ended at once"), "{log}");
    assert_eq!(reply().status, 0);
    drop(go);
}

#[test]
fn what_is_too_slow_is_cut() {
    let place = Place::new();
    let (upstream_held, heard, go) = holding();
    let hasty = NO_ADMIN.to_owned() + "drain_timeout = \"100ms\"\n";
    place.write(
        "proxy.toml",
        &format!("{hasty}{}", upstream("a.io", &upstream_held)),
    );
    let serving = Serving::start(&place, "");
    let reply = ask(serving.front, "/v2/a.io/b/manifests/1");
    heard.recv().unwrap();
    serving.signal(Signal::TERM);
    let (code, log) = serving.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("1 connections were cut"), "{log}");
    assert_eq!(reply().status, 0);
    drop(go);
}

#[test]
fn check_says_of_each_upstream_what_to_do() {
    let place = Place::new();
    let good = Upstream::start(|asked| answer(asked, "200 OK", &[], "{}"));
    let refusing = Upstream::start(|asked| answer(asked, "403 Forbidden", &[], "{}"));
    let good = upstream("good.io", &good);
    place.write("proxy.toml", &good);
    let said = place.run("check").well();
    assert!(
        said.contains("ok      configuration: proxy.toml\nok      store: "),
        "{said}"
    );
    assert!(
        said.contains("ok      good.io: http://127.0.0.1:"),
        "{said}"
    );

    let bad = format!(
        "{}[[upstream]]\nname = \"gone.io\"\nurl = \"https://127.0.0.1:1\"\n\
         [[upstream]]\nname = \"nowhere.invalid\"\n",
        upstream("refusing.io", &refusing)
    );
    place.write("proxy.toml", &format!("{good}{bad}"));
    let said = place.run("check");
    for (name, advice) in [
        ("refusing.io", "check `credentials`"),
        ("gone.io", "check `url`"),
        ("nowhere.invalid", "check `url`"),
    ] {
        let (_, rest) = said
            .stdout
            .split_once(&format!("failed  {name}: "))
            .unwrap();
        assert!(
            rest.lines().nth(1).unwrap().contains(advice),
            "{}",
            said.stdout
        );
    }
    assert_eq!(said.code, Some(1));
    let said = place.run("check --json");
    let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let ok: Vec<_> = report["upstreams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| &u["ok"])
        .collect();
    assert_eq!(ok, [true, false, false, false]);

    place.write("proxy.toml", &bad);
    place.run("check").failed(3);
    let said = place.run("check --offline").well();
    assert!(!said.contains("gone.io"), "{said}");
}

#[test]
fn a_check_signs_in_nowhere_where_clients_do() {
    let (place, registry) = (Place::new(), with_token());
    let table = upstream("a.io", &registry);
    let own = format!("{NO_ADMIN}{table}credentials = \"passthrough\"\n");
    place.write("proxy.toml", &own);
    let said = place.run("check").well();
    assert!(said.contains("clients sign in there"), "{said}");
    assert_eq!(registry.count("/token"), 0);
    let serving = Serving::start(&place, "");
    let refused = get(serving.front, "/v2/?ns=a.io");
    assert_eq!(refused.status, 401);
    let realm = format!("realm=\"http://{}/token\"", registry.address);
    assert!(refused.text.contains(&realm), "{}", refused.text);
}
