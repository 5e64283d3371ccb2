//! Who may pull what.

use fake_registry::Upstream;
use tidegate::login::Access;
use tidegate::login::Rule;
use tidegate::oci::media;

use crate::client::Got;
use crate::client::ask;
use crate::house::House;
use crate::house::Plan;
use crate::house::upstream;
use crate::people::ALICE;
use crate::people::BOB;
use crate::people::CI;
use crate::people::People;

fn rule(who: &[&str], allow: &[&str], deny: &[&str]) -> Rule {
    let strings = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    Rule {
        who: strings(who),
        allow: strings(allow),
        deny: strings(deny),
    }
}

async fn with(house: &House, method: &str, path: &str, login: &str) -> Got {
    ask(house.address, method, path, &[("Authorization", login)]).await
}

/// alice gets `docker.io/open/*`, ci that and quay.io but `quay.io/secret`; bob is named nowhere.
fn access() -> Access {
    Access::new(vec![
        rule(&["alice", "ci"], &["docker.io/open/*"], &[]),
        rule(&["c*"], &["quay.io/*"], &["quay.io/secret"]),
    ])
    .unwrap()
}

#[tokio::test]
async fn what_a_user_may_not_pull_is_denied_and_never_asked_upstream() {
    let remote = Upstream::start().await;
    remote.put_manifest("closed/app", "new", media::OCI_MANIFEST, "{}");
    let new = remote.put_generated_blob("closed/app", 1 << 20, 1);
    let people = People::new();
    let mut plan = people.only(Plan::with_upstream(&remote.url()));
    plan.front.access = access();
    let house = plan.build().await;
    let name = "docker.io/closed/app";
    let blob = house.put_blob(name, b"0123456789").await;
    let manifest = house.put_manifest(name, "x", "{}").await;
    let paths = [
        "/v2/closed/app/manifests/x".to_owned(),
        "/v2/closed/app/manifests/new".to_owned(),
        format!("/v2/closed/app/manifests/{manifest}"),
        format!("/v2/docker.io/closed/app/blobs/{blob}"),
        format!("/v2/closed/app/blobs/{new}?ns=docker.io"),
        "/v2/closed/app/tags/list".to_owned(),
        format!("/v2/closed/app/referrers/{manifest}"),
    ];
    for path in &paths {
        for (login, user) in [(ALICE, "alice"), (BOB, "bob"), (CI, "ci")] {
            let denied = with(&house, "GET", path, login).await;
            assert_eq!((denied.status, &*denied.code()), (403, "DENIED"), "{path}");
            let said = format!("{user} may not pull docker.io/closed/app");
            assert!(denied.message().contains(&said), "{denied:?}");
            let head = with(&house, "HEAD", path, login).await;
            assert_eq!((head.status, head.text()), (403, ""), "{path}");
        }
    }
    assert_eq!(remote.count(|_| true), 0);

    let all = Access::new(vec![rule(&["bob"], &["docker.io/closed/*"], &[])]);
    house.handle.give_access(all.unwrap());
    for path in &paths {
        assert_eq!(with(&house, "GET", path, BOB).await.status, 200, "{path}");
        assert_eq!(with(&house, "GET", path, ALICE).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn each_user_gets_what_the_tables_together_give() {
    let people = People::new();
    let mut plan = people.only(Plan::default());
    plan.upstreams
        .push(upstream("ghcr.io", crate::house::NOWHERE));
    plan.front.access = access();
    let house = plan.build().await;
    let all = [
        "docker.io/open/app",
        "quay.io/app",
        "quay.io/secret",
        "ghcr.io/app",
    ];
    for name in all {
        house.put_manifest(name, "x", "{}").await;
    }
    for (login, allowed) in [(ALICE, &all[..1]), (BOB, &[]), (CI, &all[..2])] {
        for name in all {
            let path = format!("/v2/{name}/manifests/x");
            let status = if allowed.contains(&name) { 200 } else { 403 };
            assert_eq!(
                with(&house, "GET", &path, login).await.status,
                status,
                "{name}"
            );
        }
        let catalog = with(&house, "GET", "/v2/_catalog", login).await;
        let shown = serde_json::json!({ "repositories": allowed });
        assert_eq!(catalog.text(), shown.to_string());
        assert_eq!(with(&house, "GET", "/v2/", login).await.status, 200);
    }
    // Pages are of what is shown.
    let page = with(&house, "GET", "/v2/_catalog?n=1", CI).await;
    assert_eq!(page.text(), r#"{"repositories":["docker.io/open/app"]}"#);
    assert!(
        page.header("link")
            .contains("last=docker%2Eio%2Fopen%2Fapp")
    );
}

#[tokio::test]
async fn without_tables_whoever_has_logged_in_gets_everything() {
    let people = People::new();
    let house = people.only(Plan::default()).build().await;
    house.put_manifest("quay.io/secret", "x", "{}").await;
    for login in [ALICE, BOB, CI] {
        let got = with(&house, "GET", "/v2/quay.io/secret/manifests/x", login).await;
        assert_eq!(got.status, 200);
    }
}
