use fake_registry::Ended;
use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Upstream;
use fake_registry::When;
use tidegate::prefetch::Found;

use crate::rig::Rig;
use crate::rig::put;
use crate::rig::set;
use crate::rig::upstream;

const TAGS: &[&str] = &[
    "1.25.4",
    "1.26.0",
    "1.26.0-alpine",
    "1.27.0-rc1",
    "1.27.1",
    "latest",
];

#[tokio::test]
async fn what_is_named_one_by_one_costs_no_request() {
    let up = Upstream::start().await;
    let digest = format!("sha256:{}", "a".repeat(64));
    let toml = upstream("a.test", &up)
        + &set(
            "named",
            "from = \"a.test/team/app\"\ntags = [\"1.27\", \"stable\"]\nimmutable = \"*.*\"",
        )
        + &set(
            "images",
            &format!("from = [\"a.test/x:1\", \"a.test/x@{digest}\"]"),
        );
    let rig = Rig::new(&toml, &[]).await;
    let told = rig.discover("named").await;
    assert!(told.listed.is_empty());
    let immutable = |it: &tidegate::prefetch::Wanted| (it.immutable, it.digest.is_some());
    let how: Vec<_> = told.wanted.iter().map(immutable).collect();
    assert_eq!(how, [(true, false), (false, false)]);
    assert_eq!(
        told.well(),
        ["a.test/team/app:1.27", "a.test/team/app:stable"]
    );
    let images = rig.discover("images").await;
    assert!(
        images
            .wanted
            .iter()
            .any(|it| it.immutable && it.digest.is_some())
    );
    let digest = format!("a.test/x@{digest}");
    assert_eq!(images.well(), ["a.test/x:1".to_owned(), digest]);
    assert!(up.log().is_empty());
}

#[tokio::test]
async fn a_list_is_judged_and_told_as_a_whole() {
    let up = Upstream::start().await;
    put(&up, "team/app", TAGS);
    let from = "from = \"a.test/team/app\"\n";
    let toml = upstream("a.test", &up)
        + &set("all", from)
        + &set("range", &format!("{from}tags = {{ semver = \">=1.26\" }}"))
        + &set("latest", &format!("{from}tags = {{ latest = 2 }}"))
        + &set(
            "few",
            &format!("{from}tags = {{ include = \"9.*\" }}\nmin_tags = 1"),
        );
    let rig = Rig::new(&toml, &[]).await;
    let all = rig.discover("all").await;
    assert_eq!(all.listed, [("a.test/team/app".to_owned(), TAGS.len())]);
    assert_eq!(all.well().len(), TAGS.len());
    let range = rig.discover("range").await.well();
    assert_eq!(range, ["a.test/team/app:1.26.0", "a.test/team/app:1.27.1"]);
    let latest = rig.discover("latest").await.well();
    assert_eq!(latest, ["a.test/team/app:1.26.0", "a.test/team/app:1.27.1"]);
    let few = rig.discover("few").await;
    let (what, why) = few.failure();
    assert_eq!(what, "the set few");
    assert!(why.contains("0 images now, and min_tags is 1"), "{why}");
    // One list for each, and nothing else: no dates are needed.
    assert_eq!(up.count(|it| it.path.contains("/tags/list")), 4);
    assert_eq!(up.log().len(), 4 + up.count(|it| it.path == "/v2/"));
}

#[tokio::test]
async fn a_list_of_many_pages_is_read_to_its_end() {
    let up = Upstream::start().await;
    let tags: Vec<String> = (0..2500).map(|number| format!("b{number:05}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    put(&up, "app", &tags);
    let toml =
        upstream("a.test", &up) + &set("all", "from = \"a.test/app\"\ntags = { latest = 3 }");
    let rig = Rig::new(&toml, &[]).await;
    let told = rig.discover("all").await;
    assert_eq!(told.listed, [("a.test/app".to_owned(), 2500)]);
    let latest = [
        "a.test/app:b02497",
        "a.test/app:b02498",
        "a.test/app:b02499",
    ];
    assert_eq!(told.well(), latest);
    assert!(up.count(|it| it.path.contains("/tags/list")) > 1);
}

/// What one registry tells comes while another one still thinks.
#[tokio::test]
async fn a_slow_registry_delays_no_other() {
    let (slow, fast) = (Upstream::start().await, Upstream::start().await);
    put(&slow, "app", &["1"]);
    put(&fast, "app", &["2"]);
    let gate = Gate::new();
    slow.fault(When::get("/tags/list"), Fault::stall_header(&gate));
    let toml = upstream("slow.test", &slow)
        + &upstream("fast.test", &fast)
        + &set("both", "from = [\"slow.test/app\", \"fast.test/app\"]");
    let rig = Rig::new(&toml, &[]).await;
    let mut found = rig.begin("both");
    let mut next = async || found.recv().await.expect("more is told");
    assert!(
        matches!(next().await, Found::Listed { repository, .. } if repository.upstream.as_str() == "fast.test")
    );
    assert!(
        matches!(next().await, Found::Wanted(wanted) if wanted.tag.as_ref().is_some_and(|it| it.as_str() == "2"))
    );
    gate.open();
    assert!(
        matches!(next().await, Found::Listed { repository, .. } if repository.upstream.as_str() == "slow.test")
    );
    assert!(matches!(next().await, Found::Wanted(_)));
    assert!(found.recv().await.is_none());
}

#[tokio::test]
async fn what_fails_fails_alone() {
    let up = Upstream::start().await;
    put(&up, "app", &["1"]);
    put(&up, "closed", &["1"]);
    up.fault(When::get("/closed/tags/list"), Fault::error(403, "DENIED"));
    let toml = upstream("a.test", &up)
        + &set(
            "three",
            "from = [\"a.test/gone\", \"a.test/closed\", \"a.test/app\"]",
        );
    let rig = Rig::new(&toml, &[]).await;
    let told = rig.discover("three").await;
    assert_eq!(told.names(), ["a.test/app:1"]);
    let [(closed, denied), (gone, unknown)] = &told.failed[..] else {
        panic!("{told:?}")
    };
    assert_eq!(
        (closed.as_str(), gone.as_str()),
        ("a.test/closed", "a.test/gone")
    );
    assert!(
        denied.contains("Who may pull may not always list"),
        "{denied}"
    );
    assert!(unknown.contains("is its name right?"), "{unknown}");
}

#[tokio::test]
async fn what_several_sources_name_is_told_once() {
    let up = Upstream::start().await;
    put(&up, "team/app", &["1", "2"]);
    let toml = upstream("a.test", &up)
        + &set(
            "twice",
            "from = [\"a.test/team/app\", \"a.test/team/*\", \"a.test/team/app:1\"]\nmin_tags = 2",
        )
        + &set(
            "few",
            "from = [\"a.test/team/app\", \"a.test/team/*\"]\nmin_tags = 3",
        );
    let rig = Rig::new(&toml, &[]).await;
    let told = rig.discover("twice").await;
    assert_eq!(told.well(), ["a.test/team/app:1", "a.test/team/app:2"]);
    let few = rig.discover("few").await;
    let (_, why) = few.failure();
    assert!(why.contains("2 images now"), "{why}");
}

/// Who gives a run up does not wait for a registry that says nothing.
#[tokio::test]
async fn it_ends_when_nobody_listens() {
    let up = Upstream::start().await;
    put(&up, "app", &["1"]);
    let gate = Gate::new();
    up.fault(When::get("/tags/list"), Fault::stall_header(&gate));
    let toml = upstream("a.test", &up) + &set("one", "from = \"a.test/app\"");
    let rig = Rig::new(&toml, &[]).await;
    let found = rig.begin("one");
    up.wait_for(|log| log.iter().any(|it| it.path.contains("/tags/list")))
        .await;
    drop(found);
    // The request is given up, which its server sees.
    up.wait_for(|log| log.iter().all(|it| it.ended != Ended::Open))
        .await;
}
