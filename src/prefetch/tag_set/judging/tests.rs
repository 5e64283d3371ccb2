use super::*;
use crate::prefetch::Since;

const NOW: &str = "2026-06-30T12:00:00Z";

/// A filter as it is written, in a few words.
fn filter(include: &[&str], exclude: &[&str]) -> Filter {
    let patterns = |texts: &[&str]| texts.iter().map(|it| it.parse().unwrap()).collect();
    Filter {
        include: patterns(include),
        exclude: patterns(exclude),
        ..Filter::default()
    }
}

fn latest(count: usize) -> Filter {
    Filter {
        latest: count.try_into().ok(),
        ..Filter::default()
    }
}

fn listed(tags: &[&str]) -> Vec<Listed> {
    let one = |tag: &&str| {
        let (tag, date) = tag.split_once('@').unwrap_or((tag, ""));
        Listed {
            tag: tag.parse().unwrap(),
            pushed: (!date.is_empty()).then(|| format!("{date}T00:00:00Z").parse().unwrap()),
            digest: None,
        }
    };
    tags.iter().map(one).collect()
}

fn judge(filter: &Filter, tags: &[&str]) -> Vec<Judged> {
    Judging::new(filter, &listed(tags), NOW.parse().unwrap()).verdicts()
}

/// Those that are wanted, in the list's order.
fn wanted(filter: &Filter, tags: &[&str]) -> Vec<String> {
    let judged = judge(filter, tags).into_iter();
    let wanted = judged.filter(|it| it.verdict == Verdict::In);
    wanted.map(|it| it.tag.to_string()).collect()
}

fn why(filter: &Filter, tags: &[&str], tag: &str) -> String {
    let judged = judge(filter, tags).into_iter();
    match judged
        .into_iter()
        .find(|it| it.tag.as_str() == tag)
        .unwrap()
        .verdict
    {
        Verdict::In => "in".to_owned(),
        Verdict::Out(why) => why.to_string(),
    }
}

const NGINX: &[&str] = &[
    "1.25.5",
    "1.25.5-alpine",
    "1.26",
    "1.26.0",
    "1.26.3",
    "1.27.0",
    "1.27.1-perl",
    "1.27.4",
    "20240101",
    "latest",
    "stable",
];

#[test]
fn patterns_choose_and_exclude_wins() {
    assert_eq!(wanted(&Filter::default(), NGINX).len(), NGINX.len());
    let some = filter(&["1.26*", "st*"], &["*.0"]);
    assert_eq!(wanted(&some, NGINX), ["1.26", "1.26.3", "stable"]);
    assert_eq!(why(&some, NGINX, "1.26.0"), "excluded by '*.0'");
    assert_eq!(why(&some, NGINX, "latest"), "fits nothing in include");
    let regex = filter(&["/^1\\.2[67]\\.[0-9]+$/"], &[]);
    assert_eq!(
        wanted(&regex, NGINX),
        ["1.26.0", "1.26.3", "1.27.0", "1.27.4"]
    );
}

#[test]
fn a_range_takes_versions_only() {
    let range = Filter {
        semver: Some(">=1.26".parse().unwrap()),
        ..Filter::default()
    };
    let taken = ["1.26", "1.26.0", "1.26.3", "1.27.0", "1.27.4"];
    assert_eq!(wanted(&range, NGINX), taken);
    assert_eq!(why(&range, NGINX, "latest"), "no semantic version");
    assert_eq!(why(&range, NGINX, "20240101"), "no semantic version");
    assert_eq!(why(&range, NGINX, "1.25.5"), "not in semver '>=1.26'");
    assert_eq!(
        why(&range, NGINX, "1.25.5-alpine"),
        "not in semver '>=1.26'"
    );
    let perl = why(&range, NGINX, "1.27.1-perl");
    assert!(
        perl.starts_with("a pre-release or variant (-perl)"),
        "{perl}"
    );
    let all = Filter {
        prerelease: true,
        ..range
    };
    assert!(wanted(&all, NGINX).contains(&"1.27.1-perl".to_owned()));
}

#[test]
fn who_includes_a_suffix_wants_it() {
    let alpine = Filter {
        semver: Some(">=1.25".parse().unwrap()),
        ..filter(&["*-alpine"], &[])
    };
    assert_eq!(wanted(&alpine, NGINX), ["1.25.5-alpine"]);
    let alpine = Filter {
        latest: 3.try_into().ok(),
        ..filter(&["*-alpine"], &[])
    };
    assert_eq!(wanted(&alpine, NGINX), ["1.25.5-alpine"]);
}

#[test]
fn the_latest_are_by_version_where_there_are_any_else_by_name() {
    assert_eq!(wanted(&latest(2), NGINX), ["1.27.0", "1.27.4"]);
    assert_eq!(
        why(&latest(2), NGINX, "1.26.3"),
        "not among the latest 2 (semver)"
    );
    let builds = &["build-9", "build-10", "build-11", "main"][..];
    assert_eq!(wanted(&latest(2), builds), ["build-11", "main"]);
    let named = Filter {
        order: Some(Order::Name),
        ..latest(2)
    };
    assert_eq!(wanted(&named, NGINX), ["latest", "stable"]);
    let versions = Filter {
        order: Some(Order::Semver),
        ..latest(2)
    };
    assert!(wanted(&versions, builds).is_empty());
    assert_eq!(why(&versions, builds, "main"), "no semantic version");
}

#[test]
fn the_latest_are_by_date_where_that_is_asked_for() {
    let dated = &["a@2026-01-01", "b@2026-03-01", "c@2026-02-01", "d"][..];
    let newest = Filter {
        order: Some(Order::Date),
        ..latest(2)
    };
    assert_eq!(wanted(&newest, dated), ["b", "c"]);
    assert_eq!(why(&newest, dated, "a"), "not among the latest 2 (date)");
    assert!(why(&newest, dated, "d").starts_with("its date is not known"));
    let young = Filter {
        since: Some("2026-02-01".parse().unwrap()),
        ..Filter::default()
    };
    assert_eq!(wanted(&young, dated), ["b", "c"]);
    assert_eq!(
        why(&young, dated, "a"),
        "of 2026-01-01, older than 2026-02-01"
    );
}

#[test]
fn what_is_made_of_a_digest_comes_with_its_image() {
    let hex = "0".repeat(64);
    let signature = format!("sha256-{hex}.sig");
    let fallback = format!("sha256-{hex}");
    let tags = &[&*signature, &fallback, "sha256-short", "1.0"][..];
    assert_eq!(wanted(&Filter::default(), tags), ["sha256-short", "1.0"]);
    assert!(why(&Filter::default(), tags, &signature).contains("comes with its image"));
}

/// Dates are asked for only where they can decide something.
#[test]
fn few_dates_are_asked_for() {
    let ask = |filter: &Filter, tags: &[&str], date: &dyn Fn(&str) -> Result<Timestamp, String>| {
        let listed = listed(tags);
        let mut judging = Judging::new(filter, &listed, NOW.parse().unwrap());
        let mut asked = Vec::new();
        loop {
            let undated = judging.undated();
            if undated.is_empty() {
                let wanted = judging.verdicts().into_iter();
                let wanted = wanted.filter(|it| it.verdict == Verdict::In);
                return (
                    asked,
                    wanted.map(|it| it.tag.to_string()).collect::<Vec<_>>(),
                );
            }
            for index in undated {
                let tag = listed[index].tag.as_str();
                asked.push(tag.to_owned());
                judging.tell(index, date(tag));
            }
        }
    };
    let day = |text: &str| Ok(format!("{text}T00:00:00Z").parse().unwrap());
    let young = |_: &str| day("2026-06-01");
    let mixed = |tag: &str| match tag {
        "1.4" => Err("gone".to_owned()),
        "1.3" => day("2025-01-01"),
        _ => day("2026-06-01"),
    };
    let tags = &["1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "latest"][..];
    let two = Filter {
        since: Some(Since::Ago(jiff::SignedDuration::from_hours(90 * 24))),
        ..latest(2)
    };
    assert_eq!(ask(&latest(2), tags, &young).0, Vec::<String>::new());
    let (asked, wanted) = ask(&two, tags, &young);
    assert_eq!((asked.len(), wanted.len()), (2, 2));
    let (asked, wanted) = ask(&two, tags, &mixed);
    assert_eq!(asked, ["1.5", "1.4", "1.3", "1.2"]);
    assert_eq!(wanted, ["1.2", "1.5"]);
    let by_date = Filter {
        order: Some(Order::Date),
        ..latest(1)
    };
    let (asked, wanted) = ask(&by_date, tags, &mixed);
    assert_eq!((asked.len(), wanted), (7, vec!["latest".to_owned()]));
}

mod properties {
    use proptest::prelude::*;

    use super::*;
    use crate::prefetch::TagSet;

    const TAG: &str =
        "(v?[0-9]{1,2}(\\.[0-9]{1,3}){0,3}(-(rc[0-9]{1,2}|alpine))?)|[a-z0-9_.-]{1,9}";

    fn a_listed() -> impl Strategy<Value = Vec<Listed>> {
        let tag = TAG.prop_filter_map("no tag", |text| text.parse().ok());
        let date = proptest::option::of(0..2_000_000_000_i64);
        let one = (tag, date).prop_map(|(tag, date)| Listed {
            tag,
            pushed: date.map(|it| Timestamp::from_second(it).unwrap()),
            digest: None,
        });
        proptest::collection::vec(one, 0..24)
    }

    fn a_filter() -> impl Strategy<Value = Filter> {
        let pattern = prop_oneof![
            Just("1*"),
            Just("*-alpine"),
            Just("*"),
            Just("/[0-9]/"),
            Just("v*")
        ];
        let patterns = proptest::collection::vec(pattern, 0..3);
        let order = prop_oneof![
            Just(None),
            Just(Some(Order::Semver)),
            Just(Some(Order::Name)),
            Just(Some(Order::Date))
        ];
        let range = proptest::option::of(prop_oneof![Just(">=1.25"), Just("1 || 3"), Just("<20")]);
        let since = proptest::option::of(prop_oneof![Just("2000-01-01"), Just("3650d")]);
        (
            patterns.clone(),
            patterns,
            range,
            any::<bool>(),
            0..6_usize,
            order,
            since,
        )
            .prop_map(
                |(include, exclude, range, prerelease, latest, order, since)| Filter {
                    semver: range.map(|it| it.parse().unwrap()),
                    prerelease,
                    latest: latest.try_into().ok(),
                    order,
                    since: since.map(|it| it.parse().unwrap()),
                    ..filter(&include, &exclude)
                },
            )
    }

    proptest! {
        #[test]
        fn a_verdict_keeps_its_word(filter in a_filter(), listed in a_listed()) {
            let now = NOW.parse().unwrap();
            let judged = TagSet::Chosen(filter.clone()).judge(&listed, now);
            prop_assert_eq!(judged.len(), listed.len());
            let mut wanted = 0;
            for (judged, listed) in judged.iter().zip(&listed) {
                prop_assert_eq!(&judged.tag, &listed.tag);
                if judged.verdict != Verdict::In {
                    continue;
                }
                wanted += 1;
                let tag = listed.tag.as_str();
                prop_assert!(!filter.exclude.iter().any(|it| it.fits(tag)), "{}", tag);
                prop_assert!(filter.include.is_empty() || filter.include.iter().any(|it| it.fits(tag)));
                prop_assert!(filter.semver.is_none() || Version::of(tag).is_some());
                if let Some(since) = filter.since {
                    prop_assert!(listed.pushed.unwrap() >= since.counted_from(now));
                }
            }
            prop_assert!(filter.latest.is_none_or(|latest| wanted <= latest.get()));
        }

        /// However a registry sorts its list, the same tags are wanted.
        #[test]
        fn the_order_of_the_list_does_not_matter(filter in a_filter(), listed in a_listed()) {
            let now = NOW.parse().unwrap();
            let mut listed = listed;
            listed.sort_by(|a, b| a.tag.cmp(&b.tag));
            listed.dedup_by(|a, b| a.tag == b.tag);
            let set = TagSet::Chosen(filter);
            let mut forth = set.judge(&listed, now);
            listed.reverse();
            let mut back = set.judge(&listed, now);
            forth.sort_by(|a, b| a.tag.cmp(&b.tag));
            back.sort_by(|a, b| a.tag.cmp(&b.tag));
            prop_assert_eq!(forth, back);
        }

        #[test]
        fn names_have_one_order(a in TAG, b in TAG, c in TAG) {
            use std::cmp::Ordering;
            prop_assert_eq!(naturally(&a, &b), naturally(&b, &a).reverse());
            prop_assert_eq!(naturally(&a, &b) == Ordering::Equal, a == b);
            if naturally(&a, &b).is_le() && naturally(&b, &c).is_le() {
                prop_assert!(naturally(&a, &c).is_le());
            }
        }
    }
}
