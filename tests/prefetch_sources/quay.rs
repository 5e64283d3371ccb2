use fake_registry::Fault;
use fake_registry::Quay;
use fake_registry::Upstream;
use fake_registry::When;
use fake_registry::digest_of;
use jiff::Timestamp;
use tidegate::prefetch::Filter;
use tidegate::prefetch::Set;
use tidegate::prefetch::Since;
use tidegate::prefetch::Source;
use tidegate::prefetch::TagSet;
use tidegate::registry::Credentials;
use tidegate::registry::Secret;

use crate::rig;
use crate::rig::Rig;
use crate::rig::Setup;

/// 2026-03-01, in seconds since 1970.
const MARCH: i64 = 1_772_323_200;
const DAY: i64 = 86_400;

fn source(pattern: &str) -> Source {
    Source::Quay {
        upstream: "quay.io".parse().expect("a name"),
        pattern: pattern.to_owned(),
    }
}

fn kolla(tags: TagSet) -> Set {
    rig::set(source("openstack.kolla/*"), tags)
}

fn since(seconds: i64) -> TagSet {
    let moment = Timestamp::from_second(seconds).expect("a moment");
    TagSet::Chosen(Filter {
        since: Some(Since::Moment(moment)),
        ..Filter::default()
    })
}

async fn with(quay: &Quay) -> Rig {
    Rig::before(Upstream::builder().quay(quay).start().await).await
}

fn digest(of: &str) -> String {
    digest_of(of.as_bytes())
}

/// As Kolla has it: 250 repositories; each third was not touched since last year.
fn namespace() -> Quay {
    let quay = Quay::default();
    for number in 0..250 {
        let name = format!("openstack.kolla/service-{number:03}");
        let last = match number % 3 {
            0 => MARCH - 90 * DAY,
            _ => MARCH + DAY,
        };
        for (age, tag) in [
            (200, "2025.1-ubuntu-noble"),
            (400, "master-debian-bookworm"),
        ] {
            quay.tag(
                &name,
                tag,
                &digest(&format!("{name}:{tag}")),
                MARCH - age * DAY,
            );
        }
        let tag = "2025.2-ubuntu-noble";
        quay.tag(&name, tag, &digest(&format!("{name}:{tag}")), last);
    }
    quay.tag(
        "other/service-000",
        "2025.2-ubuntu-noble",
        &digest("other"),
        MARCH + DAY,
    );
    quay
}

fn counts(rig: &Rig) -> (usize, usize, usize) {
    let lists = rig.up.count(|r| r.path == "/api/v1/repository");
    let tags = rig.up.count(|r| r.path.ends_with("/tag/"));
    let others = rig.up.count(|r| !r.path.starts_with("/api/v1/"));
    (lists, tags, others)
}

#[tokio::test]
async fn what_is_too_old_costs_no_request() {
    let rig = with(&namespace()).await;
    let told = rig.discover(kolla(since(MARCH))).await;
    assert_eq!(told.failed, []);
    let fresh = (0..250).filter(|number| number % 3 != 0);
    let expected: Vec<String> = fresh
        .map(|number| format!("openstack.kolla/service-{number:03}:2025.2-ubuntu-noble"))
        .collect();
    assert_eq!(told.names(), expected);
    for wanted in &told.wanted {
        let tag = wanted.tag.as_ref().expect("a tag");
        let known = wanted.digest.as_ref().map(ToString::to_string);
        assert_eq!(
            known,
            Some(digest(&format!("{}:{tag}", wanted.repository.name)))
        );
    }
    assert_eq!(told.listed.len(), expected.len());
    assert!(told.listed.iter().all(|(_, tags)| *tags == 3), "{told:?}");
    // Three pages, and one request for each repository that is not too old: no tag is asked about.
    assert_eq!(counts(&rig), (3, expected.len(), 0));
}

#[tokio::test]
async fn tags_by_name_are_asked_for_by_name() {
    let quay = namespace();
    for number in 0..4 {
        let name = format!("openstack.kolla/service-{number:03}");
        quay.tag(&name, "rare", &digest("rare"), MARCH);
    }
    let rig = with(&quay).await;
    let told = rig.discover(kolla(rig::literal(&["rare"]))).await;
    assert_eq!(
        told.failed,
        [],
        "that a repository has it not is no failure"
    );
    assert_eq!(told.wanted.len(), 4);
    assert_eq!(told.listed, [], "no list was asked for");
    assert_eq!(counts(&rig), (3, 250, 0));
    let by_name = rig.up.count(|r| r.query.contains("specificTag=rare"));
    assert_eq!(by_name, 250);
    let told = rig.discover(kolla(rig::literal(&["rare", "typo"]))).await;
    assert_eq!(told.wanted.len(), 4);
    let failed: Vec<_> = told.failed.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(failed, ["quay.io/openstack.kolla/*:typo"]);
}

#[tokio::test]
async fn many_names_are_taken_from_the_list() {
    let quay = Quay::default();
    for number in 0..230 {
        quay.tag(
            "ns/app",
            &format!("v{number}"),
            &digest("v"),
            MARCH + number,
        );
    }
    let rig = with(&quay).await;
    let tags = ["v0", "v1", "v2", "v100", "v228", "v229"];
    let told = rig
        .discover(rig::set(source("ns/*"), rig::literal(&tags)))
        .await;
    assert_eq!(told.failed, []);
    assert_eq!(told.wanted.len(), tags.len());
    assert_eq!(counts(&rig), (1, 3, 0), "three pages of a hundred");
}

#[tokio::test]
async fn all_pages_of_tags_are_read_and_the_dead_are_left_out() {
    let quay = Quay::default();
    for number in 0..230 {
        let tag = format!("v{number:03}");
        // Each was something else before, which is history now.
        quay.tag("ns/app", &tag, &digest("before"), MARCH + number);
        quay.tag("ns/app", &tag, &digest(&tag), MARCH + 1000 + number);
    }
    quay.expire("ns/app", "v000", MARCH + 2000);
    quay.expire("ns/app", "v001", 4_000_000_000);
    quay.repository("ns/empty");
    quay.other_kind("ns/chart", "application");
    let rig = with(&quay).await;
    let told = rig
        .discover(rig::set(source("ns/*"), TagSet::default()))
        .await;
    assert_eq!(told.failed, []);
    let expected: Vec<String> = (1..230)
        .map(|number| format!("ns/app:v{number:03}"))
        .collect();
    assert_eq!(told.names(), expected);
    for wanted in &told.wanted {
        let tag = wanted.tag.as_ref().expect("a tag");
        let known = wanted.digest.as_ref().map(ToString::to_string);
        assert_eq!(known, Some(digest(tag.as_str())), "{tag}");
    }
}

#[tokio::test]
async fn a_repository_without_a_date_is_asked() {
    let quay = Quay::default();
    quay.repository("ns/empty");
    quay.tag("ns/new", "v1", &digest("v1"), MARCH + 1);
    let rig = with(&quay).await;
    let told = rig.discover(rig::set(source("ns/*"), since(MARCH))).await;
    assert_eq!(told.failed, []);
    assert_eq!(told.names(), ["ns/new:v1"]);
    assert_eq!(counts(&rig), (1, 2, 0));
}

#[tokio::test]
async fn only_what_fits_and_is_allowed_is_asked() {
    let quay = namespace();
    let up = Upstream::builder().quay(&quay).start().await;
    let setup = Setup {
        deny: vec!["*-011".to_owned()],
        ..Setup::default()
    };
    let rig = Rig::with(up, setup).await;
    let pattern = source("openstack.kolla/service-01*");
    let told = rig
        .discover(rig::set(pattern, rig::literal(&["2025.1-ubuntu-noble"])))
        .await;
    assert_eq!(told.failed, []);
    assert_eq!(told.wanted.len(), 9);
    assert_eq!(counts(&rig), (3, 9, 0));
    let none = rig::set(source("openstack.kolla/servise-*"), TagSet::default());
    let told = rig.discover(none).await;
    let [(what, why)] = &told.failed[..] else {
        panic!("{told:?}");
    };
    assert_eq!(what, "quay.io/openstack.kolla/servise-*");
    assert!(why.contains("249"), "{why}");
}

#[tokio::test]
async fn a_private_namespace_opens_by_an_access_token_only() {
    let quay = Quay::default();
    quay.tag("ours/app", "v1", &digest("v1"), MARCH);
    quay.make_private("ours/app");
    quay.open_to("secret-token");
    let ours = || rig::set(source("ours/*"), TagSet::default());
    let basic = |username: &str| Credentials::Basic {
        username: username.to_owned(),
        password: Secret::new("secret-token"),
    };
    let opens = [
        Credentials::Token(Secret::new("secret-token")),
        basic("$oauthtoken"),
    ];
    for credentials in opens {
        let up = Upstream::builder().quay(&quay).start().await;
        let setup = Setup {
            credentials,
            ..Setup::default()
        };
        let rig = Rig::with(up, setup).await;
        let told = rig.discover(ours()).await;
        assert_eq!(told.failed, []);
        assert_eq!(told.names(), ["ours/app:v1"]);
    }
    for credentials in [Credentials::Anonymous, basic("ours+robot")] {
        let up = Upstream::builder().quay(&quay).start().await;
        let setup = Setup {
            credentials,
            ..Setup::default()
        };
        let rig = Rig::with(up, setup).await;
        let told = rig.discover(ours()).await;
        let [(what, why)] = &told.failed[..] else {
            panic!("{told:?}");
        };
        assert_eq!(what, "quay.io/ours/*");
        assert!(
            why.contains("$oauthtoken") && why.contains("robot"),
            "{why}"
        );
        let shown = rig.up.count(|r| r.header("authorization").is_some());
        assert_eq!(shown, 0, "a robot's password is of no use there");
    }
}

#[tokio::test]
async fn what_was_closed_meanwhile_fails_alone() {
    let quay = namespace();
    let rig = with(&quay).await;
    let refused = Fault::status(401);
    rig.up.fault(When::get("/service-001/tag/"), refused);
    rig.up
        .fault(When::get("/service-002/tag/"), Fault::status(404));
    let told = rig.discover(kolla(since(MARCH))).await;
    assert_eq!(told.wanted.len(), 166 - 2);
    let mut failed = told.failed;
    failed.sort();
    let [(one, why_one), (two, why_two)] = &failed[..] else {
        panic!("{failed:?}");
    };
    assert_eq!(one, "quay.io/openstack.kolla/service-001");
    assert!(why_one.contains("access token"), "{why_one}");
    assert_eq!(two, "quay.io/openstack.kolla/service-002");
    assert!(why_two.contains("gone"), "{why_two}");
}

#[tokio::test]
async fn a_page_that_fails_is_said_and_what_came_before_counts() {
    let rig = with(&namespace()).await;
    let second = When::get("/api/v1/repository").and(|r| r.query.contains("next_page"));
    rig.up.fault(second, Fault::status(403));
    let told = rig.discover(kolla(since(MARCH))).await;
    let [(what, why)] = &told.failed[..] else {
        panic!("{told:?}");
    };
    assert_eq!(what, "quay.io/openstack.kolla/*");
    assert!(why.contains("403"), "{why}");
    assert_eq!(told.wanted.len(), 66, "those of the first hundred");
}

#[tokio::test]
async fn a_limit_of_the_api_is_waited_for() {
    let rig = with(&namespace()).await;
    let limited = Fault::error(429, "TOOMANYREQUESTS").header("retry-after", "0");
    rig.up
        .fault(When::get("/api/v1/").after(2).times(3), limited);
    let told = rig.discover(kolla(since(MARCH))).await;
    assert_eq!(told.failed, []);
    assert_eq!(told.wanted.len(), 166);
}

#[tokio::test]
async fn who_is_no_quay_is_told_apart() {
    let rig = Rig::before(Upstream::start().await).await;
    let told = rig.discover(kolla(TagSet::default())).await;
    let [(_, why)] = &told.failed[..] else {
        panic!("{told:?}");
    };
    assert!(why.contains("is this a Quay?"), "{why}");
    for pattern in ["*", "*/app", "{a,b}/app"] {
        let told = rig
            .discover(rig::set(source(pattern), TagSet::default()))
            .await;
        let [(_, why)] = &told.failed[..] else {
            panic!("{told:?}");
        };
        assert!(why.contains("namespace"), "{why}");
    }
}
