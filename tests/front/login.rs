//! Who comes in by password or token, and what wrong ones cost.

use std::time::Duration;

use fake_registry::Upstream;
use tidegate::front::Front;
use tidegate::ledger::Ledger;
use tidegate::oci::media;
use tidegate::registry::Credentials;
use tokio::time::timeout;

use crate::client::Got;
use crate::client::ask;
use crate::client::ask_from;
use crate::client::request;
use crate::house::House;
use crate::house::Plan;
use crate::people::ALICE;
use crate::people::ALICE_WRONG;
use crate::people::BOB;
use crate::people::CI;
use crate::people::CI_BY_PASSWORD;
use crate::people::People;

const NOBODY: &str = "Basic bm9ib2R5Om5vdGhpbmc=";
const PATIENCE: Duration = Duration::from_secs(60);

async fn with(house: &House, path: &str, login: &str) -> Got {
    ask(house.address, "GET", path, &[("Authorization", login)]).await
}

async fn ping(house: &House, login: &str) -> u16 {
    with(house, "/v2/", login).await.status
}

fn assert_unauthorized(got: &Got, what: &str) {
    assert_eq!(got.status, 401, "{what}");
    let challenge = got.header("www-authenticate");
    assert_eq!(challenge, "Basic realm=\"tidegate\"", "{what}");
}

#[tokio::test]
async fn nobody_gets_anything_without_a_login() {
    let upstream = Upstream::start().await;
    upstream.put_manifest("a/b", "new", media::OCI_MANIFEST, "{}");
    let people = People::new();
    let house = people.only(Plan::with_upstream(&upstream.url()));
    let house = house.build().await;
    let digest = house.put_blob("docker.io/a/b", b"0123456789").await;
    house.put_manifest("docker.io/a/b", "x", "{}").await;
    for path in [
        "/v2/",
        "/v2/a/b/manifests/x",
        "/v2/a/b/manifests/new",
        &format!("/v2/a/b/blobs/{digest}"),
        "/v2/a/b/tags/list",
        &format!("/v2/a/b/referrers/{digest}"),
        "/v2/_catalog",
        "/v2/nowhere.test/x/manifests/y",
        "/elsewhere",
    ] {
        for login in ["", ALICE_WRONG, NOBODY] {
            let headers = [("Authorization", login)];
            let headers = if login.is_empty() { &[] } else { &headers[..] };
            let refused = ask(house.address, "GET", path, headers).await;
            assert_unauthorized(&refused, path);
            assert_eq!(refused.code(), "UNAUTHORIZED");
        }
        for method in ["HEAD", "PUT", "DELETE"] {
            let refused = ask(house.address, method, path, &[]).await;
            assert_unauthorized(&refused, path);
        }
    }
    assert_eq!(upstream.count(|_| true), 0);
    assert_eq!(
        with(&house, "/v2/a/b/manifests/new", ALICE).await.status,
        200
    );
}

#[tokio::test]
async fn every_way_to_log_in_is_one() {
    let people = People::new();
    let house = people.only(Plan::default()).build().await;
    for login in [
        ALICE,
        BOB,
        CI,
        CI_BY_PASSWORD,
        "basic  Ym9iOmJ1aWxkZXI",
        "BEARER token-of-the-build-machine",
    ] {
        assert_eq!(ping(&house, login).await, 200, "{login}");
    }
    for login in [
        "Basic",
        "Basic !",
        "Basic YWxpY2U=",
        "Bearer x",
        "Bearer wonderland",
        "token-of-the-build-machine",
        // alice with the token of ci
        "Basic YWxpY2U6dG9rZW4tb2YtdGhlLWJ1aWxkLW1hY2hpbmU=",
    ] {
        assert_eq!(ping(&house, login).await, 401, "{login}");
    }
    let twice = [("Authorization", ALICE), ("Authorization", BOB)];
    let twice = ask(house.address, "GET", "/v2/", &twice).await;
    assert_eq!(twice.status, 401);
}

#[tokio::test]
async fn the_login_here_is_never_sent_upstream() {
    let upstream = Upstream::start().await;
    upstream.put_manifest("a/b", "x", media::OCI_MANIFEST, "{}");
    let people = People::new();
    let mut plan = people.only(Plan::with_upstream(&upstream.url()));
    // The configuration refuses this; should it get here all the same, nothing is given away.
    let config = plan.upstreams[0].registry.config().clone();
    let config = tidegate::registry::Config {
        credentials: Credentials::Passthrough,
        ..config
    };
    let registry = tidegate::registry::Registry::new(config, Ledger::new());
    plan.upstreams[0].registry = std::sync::Arc::new(registry.unwrap());
    let house = plan.build().await;
    let blob = upstream.put_generated_blob("a/b", 1 << 20, 1);
    for path in [
        "/v2/a/b/manifests/x",
        &format!("/v2/a/b/blobs/{blob}"),
        "/v2/a/b/tags/list",
    ] {
        for login in [ALICE, CI] {
            assert_eq!(with(&house, path, login).await.status, 200);
        }
    }
    assert!(upstream.count(|_| true) > 0);
    let with_login = upstream.count(|asked| asked.headers.contains_key("authorization"));
    assert_eq!(with_login, 0);
}

#[tokio::test]
async fn files_are_read_again_when_they_change_and_broken_ones_are_not() {
    let people = People::new();
    let house = people.only(Plan::default()).build().await;
    assert_eq!(ping(&house, ALICE).await, 200);
    std::fs::write(people.users(), "alice:hunter2\n").unwrap();
    // Files are looked at once a second at most: this one is.
    let looked = tokio::time::Instant::now() + Duration::from_millis(1500);
    while tokio::time::Instant::now() < looked {
        assert_eq!(ping(&house, ALICE).await, 200);
    }
    // alice has another password now: that of bob; and bob is gone.
    let hash = "$2y$04$XT5sChpTq5XDVFEp9RIoWOHn4BlCSWfCc68lJvRJgvQImRJsboxfS";
    std::fs::write(people.users(), format!("alice:{hash}\n")).unwrap();
    let taken = async {
        while ping(&house, ALICE).await != 401 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, taken)
        .await
        .expect("the new file was never taken");
    assert_eq!(ping(&house, "Basic YWxpY2U6YnVpbGRlcg==").await, 200);
    assert_eq!(ping(&house, BOB).await, 401);
    std::fs::write(people.tokens(), "").unwrap();
    let taken = async {
        while ping(&house, CI).await != 401 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, taken)
        .await
        .expect("the token was never withdrawn");
}

/// Sends wrong logins until they are throttled.
async fn exhaust(house: &House, client: [u8; 4], login: &str) -> Got {
    let throttled = async {
        loop {
            let headers = [("Authorization", login)];
            let got = ask_from(client, house.address, "/v2/", &headers).await;
            if got.status == 429 {
                return got;
            }
            assert_unauthorized(&got, "a wrong login");
        }
    };
    let throttled = timeout(PATIENCE, throttled).await;
    throttled.expect("wrong logins are never throttled")
}

#[tokio::test]
async fn who_guesses_is_throttled_and_nobody_else() {
    const ATTACKER: [u8; 4] = [127, 0, 0, 2];
    const OTHER: [u8; 4] = [127, 0, 0, 3];
    let people = People::new();
    let house = people.only(Plan::default()).build().await;
    let from = async |client, login| {
        let headers = [("Authorization", login)];
        ask_from(client, house.address, "/v2/", &headers)
            .await
            .status
    };
    // Behind the address that attacks, somebody has logged in before.
    assert_eq!(from(ATTACKER, BOB).await, 200);

    for wrong in [ALICE_WRONG, NOBODY, "Bearer guessed", "Basic !"] {
        let throttled = exhaust(&house, ATTACKER, wrong).await;
        assert_eq!(throttled.code(), "TOOMANYREQUESTS");
        let pause: u64 = throttled.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&pause), "{pause}");
    }
    assert_eq!(from(OTHER, ALICE).await, 200);
    assert_eq!(from(ATTACKER, BOB).await, 200);
}

#[tokio::test]
async fn a_name_that_is_guessed_from_everywhere_still_lets_its_user_in() {
    let people = People::new();
    let house = people.only(Plan::default()).build().await;
    exhaust(&house, [127, 0, 1, 1], ALICE_WRONG).await;
    // The name has no tries left: of each further address, few are taken.
    for last in 2..5 {
        exhaust(&house, [127, 0, 1, last], ALICE_WRONG).await;
    }
    let headers = [("Authorization", ALICE)];
    let got = ask_from([127, 0, 1, 200], house.address, "/v2/", &headers).await;
    assert_eq!(got.status, 200);
}

#[tokio::test]
async fn expensive_passwords_hold_up_nobody_who_has_logged_in() {
    let people = People::new();
    // Of nothing anybody knows, at a cost of a large part of a second.
    let slow = "$2y$12$SNf2GDg7VTKeNvZaFW6gIOBxYrG6NB7Nvk80oSBP35kvx4MTB6IFm";
    let users = std::fs::read_to_string(people.users()).unwrap();
    std::fs::write(people.users(), format!("{users}slow:{slow}\n")).unwrap();
    let house = people.only(Plan::default()).build().await;
    assert_eq!(ping(&house, ALICE).await, 200);

    let (address, login) = (house.address, "Basic c2xvdzp3cm9uZw==");
    let guesses: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn(async move {
                let headers = [("Authorization", login)];
                ask(address, "GET", "/v2/", &headers).await.status
            })
        })
        .collect();
    for login in [ALICE, CI] {
        for _ in 0..20 {
            assert_eq!(ping(&house, login).await, 200);
        }
    }
    let waiting = guesses.iter().any(|guess| !guess.is_finished());
    assert!(waiting, "others waited for all of the guesses");
    for guess in guesses {
        assert_eq!(guess.await.unwrap(), 401);
    }
}

#[tokio::test]
async fn files_that_can_not_be_used_are_named() {
    let people = People::new();
    let house = House::build().await;
    std::fs::write(people.users(), "# people\nalice:{SHA}hunter2=\n").unwrap();
    let plan = people.only(Plan::default());
    let bound = Front::bind(plan.front, house.flow.clone(), Ledger::new()).await;
    let error = bound.unwrap_err().to_string();
    let expected = format!("{}:2: only bcrypt", people.users().display());
    assert!(error.starts_with(&expected), "{error}");
    assert!(!error.contains("hunter2"), "{error}");

    std::fs::remove_file(people.users()).unwrap();
    let plan = people.only(Plan::default());
    let bound = Front::bind(plan.front, house.flow.clone(), Ledger::new()).await;
    let error = bound.unwrap_err().to_string();
    assert!(
        error.contains(&*people.users().to_string_lossy()),
        "{error}"
    );
}

#[tokio::test]
async fn a_login_holds_for_its_request_only() {
    let people = People::new();
    let house = people.only(Plan::default()).build().await;
    let stream = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    for (headers, status) in [
        (&[("Authorization", ALICE)][..], 200),
        (&[], 401),
        (&[("Authorization", ALICE_WRONG)], 401),
        (&[("Authorization", BOB)], 200),
    ] {
        let response = sender.send_request(request("GET", "/v2/", headers));
        assert_eq!(
            Got::read(response.await.unwrap()).await.unwrap().status,
            status
        );
    }
}
