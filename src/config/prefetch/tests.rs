use std::num::NonZeroU64;
use std::time::Duration;

use super::*;
use crate::config::tests::parse;
use crate::oci::Reference;
use crate::prefetch::Order;
use crate::prefetch::Release;
use crate::prefetch::Since;
use crate::prefetch::Verify;

pub(super) const TARGETS: &str = r#"
[[upstream]]
name = "docker.io"
deny = ["library/secret"]
[[upstream]]
name = "quay.io"
[[upstream]]
name = "corp"
url = "https://corp.example"
[[upstream]]
name = "own.example"
credentials = "passthrough"
[[target]]
name = "near"
url = "https://near.example"
[[target]]
name = "hub-only"
url = "https://hub.example"
only = ["docker.io/*"]
"#;

fn sets(text: &str) -> Vec<Set> {
    let all = format!("{TARGETS}\n{text}");
    parse(&all)
        .unwrap_or_else(|error| panic!("{error}"))
        .prefetch
}

fn repository(text: &str) -> crate::oci::Repository {
    let (upstream, name) = text.split_once('/').unwrap();
    crate::oci::Repository::new(upstream.parse().unwrap(), name.parse().unwrap())
}

#[test]
fn every_key_arrives() {
    let sets = sets(
        r#"
        [[prefetch]]
        name = "base-images"
        from = "docker.io/library/nginx"
        tags = { include = ["1.*", "/^v1/"], exclude = "*-alpine*", semver = [">=1.25", "1.20"], prerelease = true, latest = 5, order = "date", since = "2026-03-01" }
        immutable = "*.*.*"
        min_tags = 3
        platforms = ["linux/amd64", "linux/arm/v7"]
        referrers = false
        to = ["store", "near"]
        verify = "deep"
        prune = "delete"
        prune_max = 7
        schedule = "0 */6 * * *"
        jitter = "90s"
        quiet = ["08:00-12:00", "13:00-18:00"]
        bandwidth = "50MiB/s"
        "#,
    );
    let [set] = &sets[..] else { panic!("{sets:?}") };
    assert_eq!(&*set.name, "base-images");
    let nginx = Source::Repository(repository("docker.io/library/nginx"));
    assert_eq!(set.from, [nginx]);
    let TagSet::Chosen(filter) = &set.tags else {
        panic!("{set:?}")
    };
    assert_eq!(filter.include.len(), 2);
    assert!(filter.include[1].fits("v1.2") && filter.exclude[0].fits("1-alpine3"));
    assert_eq!(
        filter.semver.as_ref().unwrap().to_string(),
        ">=1.25 || 1.20"
    );
    assert!(filter.prerelease && filter.latest.unwrap().get() == 5);
    assert_eq!(filter.order, Some(Order::Date));
    let since = Since::Moment("2026-03-01T00:00:00Z".parse().unwrap());
    assert_eq!(filter.since, Some(since));
    assert!(set.immutable[0].fits("1.2.3") && !set.immutable[0].fits("1.2"));
    assert_eq!((set.min_tags, set.prune_max), (3, 7));
    let platforms: Vec<_> = set.platforms.iter().map(ToString::to_string).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm/v7"]);
    assert!(!set.referrers);
    let near = Destination::Target("near".into());
    assert_eq!(set.to, [Destination::Store, near]);
    assert_eq!((set.verify, set.prune), (Verify::Deep, Prune::Delete));
    let schedule = set.schedule.as_ref().unwrap();
    assert_eq!(schedule.to_string(), "0 */6 * * *");
    assert_eq!(schedule.jitter, Some(Duration::from_secs(90)));
    assert!(!set.quiet.is_empty());
    assert_eq!(set.bandwidth, NonZeroU64::new(50 << 20));
}

#[test]
fn what_is_left_out_has_its_default() {
    let sets = sets("[[prefetch]]\nname = \"a\"\nfrom = \"docker.io/library/nginx\"");
    let set = &sets[0];
    assert_eq!(set.tags, TagSet::default());
    assert!(set.referrers && set.platforms.is_empty() && set.schedule.is_none());
    assert_eq!(set.to, [Destination::Store]);
    assert_eq!((set.verify, set.prune), (Verify::Tags, Prune::Off));
    assert_eq!((set.prune_max, set.min_tags), (100, 0));
    assert!(set.quiet.is_empty() && set.bandwidth.is_none());
    assert!(parse("").unwrap().prefetch.is_empty());
}

#[test]
fn from_has_many_forms() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let text = format!(
        r#"
        [[prefetch]]
        name = "a"
        from = ["docker.io/library/nginx", "redis", "corp/team/app", "docker.io/library/*",
                "corp/x/**", "quay.io/openstack.kolla/*", "quay:corp/ns/a-*", "nginx:1.27",
                "corp/app@{digest}", "file:images.txt", "file:/srv/images.txt",
                "openshift:4.20.8", "openshift:4.19.1@corp/mirror/release"]
        arch = ["amd64", "arm64"]
        every = "6h"
        "#
    );
    let sets = sets(&text);
    let upstream = |name: &str| name.parse().unwrap();
    let catalog = |name: &str, pattern: &str| Source::Catalog {
        upstream: upstream(name),
        pattern: pattern.to_owned(),
    };
    let quay = |name: &str, pattern: &str| Source::Quay {
        upstream: upstream(name),
        pattern: pattern.to_owned(),
    };
    let image = |text: &str, reference: &str| Source::Image {
        repository: repository(text),
        reference: reference.parse::<Reference>().unwrap(),
    };
    let one = |text: &str| Source::Repository(repository(text));
    let release = |text: &str| Source::Release(Release::new(text, &["amd64", "arm64"]).unwrap());
    assert_eq!(
        sets[0].from,
        [
            one("docker.io/library/nginx"),
            one("docker.io/library/redis"),
            one("corp/team/app"),
            catalog("docker.io", "library/*"),
            catalog("corp", "x/**"),
            quay("quay.io", "openstack.kolla/*"),
            quay("corp", "ns/a-*"),
            image("docker.io/library/nginx", "1.27"),
            image("corp/app", &digest),
            Source::References("/etc/tidegate/images.txt".into()),
            Source::References("/srv/images.txt".into()),
            release("4.20.8"),
            release("4.19.1@corp/mirror/release"),
        ]
    );
    let every = When::Every(Duration::from_secs(6 * 60 * 60));
    assert_eq!(sets[0].schedule.as_ref().unwrap().when, every);
}

#[test]
fn tags_are_listed_or_chosen() {
    let tags = |text: &str| {
        let text = format!("[[prefetch]]\nname = \"a\"\nfrom = \"nginx\"\ntags = {text}");
        sets(&text).remove(0).tags
    };
    let two = [("1.27".parse().unwrap()), ("stable".parse().unwrap())];
    assert_eq!(tags("[\"1.27\", \"stable\"]").literal(), Some(&two[..]));
    assert_eq!(tags("{}"), TagSet::default());
    let chosen = tags("{ semver = \">=1.25\" }");
    assert!(chosen.literal().is_none() && !chosen.needs_dates());
    assert!(tags("{ since = \"90d\" }").needs_dates());
    assert!(tags("{ latest = 3, order = \"date\" }").needs_dates());
}
