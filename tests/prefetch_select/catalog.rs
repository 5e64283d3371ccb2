use fake_registry::Fault;
use fake_registry::Upstream;
use fake_registry::When;

use crate::rig::Rig;
use crate::rig::put;
use crate::rig::set;
use crate::rig::upstream;

#[tokio::test]
async fn all_repositories_that_fit_are_listed() {
    let up = Upstream::start().await;
    for number in 0..1100 {
        put(&up, &format!("team/app-{number:04}"), &["1", "2"]);
    }
    put(&up, "other/app", &["1"]);
    put(&up, "team/secret", &["1"]);
    let toml = upstream("a.test", &up)
        + "deny = [\"team/secret\"]\n"
        + &set(
            "team",
            "from = \"a.test/team/*\"\ntags = { latest = 1 }\nmin_tags = 1100",
        );
    let rig = Rig::new(&toml, &[]).await;
    let told = rig.discover("team").await;
    assert_eq!(told.listed.len(), 1100);
    let names = told.well();
    assert_eq!(names.len(), 1100);
    assert_eq!(names[1099], "a.test/team/app-1099:2");
    assert!(names.iter().all(|name| name.ends_with(":2")));
    // More than a page of the catalog, and one list for each that fits.
    assert!(up.count(|it| it.path == "/v2/_catalog") > 1);
    assert_eq!(up.count(|it| it.path.contains("/tags/list")), 1100);
}

#[tokio::test]
async fn tags_that_are_named_come_from_those_that_have_them() {
    let up = Upstream::start().await;
    put(&up, "team/a", &["1", "stable"]);
    put(&up, "team/b", &["1"]);
    let toml = upstream("a.test", &up)
        + &set(
            "named",
            "from = \"a.test/team/*\"\ntags = [\"stable\", \"1\"]",
        )
        + &set(
            "gone",
            "from = \"a.test/team/*\"\ntags = [\"stable\", \"2\"]",
        );
    let rig = Rig::new(&toml, &[]).await;
    let named = rig.discover("named").await.well();
    assert_eq!(
        named,
        ["a.test/team/a:1", "a.test/team/a:stable", "a.test/team/b:1"]
    );
    let gone = rig.discover("gone").await;
    assert_eq!(gone.names(), ["a.test/team/a:stable"]);
    assert_eq!(
        gone.failure(),
        ("a.test/team/*:2", "no repository has this tag")
    );
}

#[tokio::test]
async fn a_pattern_that_finds_nothing_is_told() {
    let up = Upstream::start().await;
    put(&up, "team/a", &["1"]);
    let toml = upstream("a.test", &up) + &set("none", "from = \"a.test/taem/*\"");
    let rig = Rig::new(&toml, &[]).await;
    let told = rig.discover("none").await;
    let why = "none of the 1 repositories in its catalog fits";
    assert_eq!(told.failure(), ("a.test/taem/*", why));
}

#[tokio::test]
async fn one_repository_that_fails_fails_alone() {
    let up = Upstream::start().await;
    put(&up, "team/a", &["1"]);
    put(&up, "team/b", &["1"]);
    up.fault(When::get("/team/a/tags/list"), Fault::error(403, "DENIED"));
    let toml = upstream("a.test", &up)
        + &set("all", "from = \"a.test/team/*\"")
        + &set("named", "from = \"a.test/team/*\"\ntags = [\"1\", \"2\"]");
    let rig = Rig::new(&toml, &[]).await;
    for name in ["all", "named"] {
        let told = rig.discover(name).await;
        assert_eq!(told.names(), ["a.test/team/b:1"], "{name}");
        // Nobody knows whether team/a has the tag 2.
        assert_eq!(told.failure().0, "a.test/team/a", "{name}");
    }
}

#[tokio::test]
async fn a_registry_without_a_catalog_says_what_to_do() {
    let up = Upstream::start().await;
    put(&up, "team/a", &["1"]);
    for fault in [
        Fault::error(401, "UNAUTHORIZED"),
        Fault::error(404, "NOT_FOUND"),
        Fault::error(405, "UNSUPPORTED"),
    ] {
        up.clear_faults();
        up.fault(When::get("/v2/_catalog"), fault);
        let toml = upstream("a.test", &up) + &set("all", "from = \"a.test/team/*\"");
        let rig = Rig::new(&toml, &[]).await;
        let told = rig.discover("all").await;
        let (what, why) = told.failure();
        assert_eq!(what, "a.test/team/*");
        assert!(why.contains("name the repositories one by one"), "{why}");
    }
}
