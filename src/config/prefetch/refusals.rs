//! What is refused, and in which words.

use super::tests::TARGETS;
use crate::config::tests::refusal;

/// What stands in a set named "a", the line within it, and what is said.
const WRONG: &[(&str, usize, &str)] = &[
    ("", 1, "prefetch: the key `from` is missing"),
    ("from = []", 2, "name: `from` is empty"),
    ("from = \"\"", 3, "from: it is empty; this must be a text"),
    (
        "from = 3",
        3,
        "from: this is an integer, but it must be a string, or a list of strings",
    ),
    (
        "from = \"nginx\"\ntag = [\"1\"]",
        4,
        "tag: there is no such key; did you mean `tags`?",
    ),
    (
        "from = \"nginx\"\ntags = { includes = [] }",
        4,
        "tags.includes: there is no such key; did you mean `include`?",
    ),
    (
        "from = [\n\"nginx\",\n\"ghcr.io/a/b\"]",
        5,
        "from: no upstream is called ghcr.io; add an [[upstream]]",
    ),
    (
        "from = \"NGINX\"",
        3,
        "from: 'library/NGINX' is not a repository name",
    ),
    (
        "from = [\"nginx\", \"docker.io/nginx\"]",
        3,
        "from: it is in the list twice",
    ),
    (
        "from = \"*/nginx\"",
        3,
        "from: a glob begins with an upstream's name",
    ),
    (
        "from = \"docker.io/library/[\"",
        3,
        "from: unclosed character class",
    ),
    (
        "from = \"docker.io/library/*:1\"",
        3,
        "from: tags are chosen by `tags`",
    ),
    (
        "from = \"quay.io/*\"",
        3,
        "from: Quay lists the repositories of one namespace",
    ),
    ("from = \"quay:corp/a/b\"", 3, "from: `quay:` is for a glob"),
    (
        "from = \"own.example/a/b\"",
        3,
        "from: clients sign in at own.example",
    ),
    (
        "from = \"docker.io/library/secret\"",
        3,
        "from: docker.io/library/secret is left out by `allow`",
    ),
    (
        "from = \"openshift:stable\"",
        3,
        "from: 'stable' is no release",
    ),
    (
        "from = \"openshift:4.20.8\"\narch = \"mips\"",
        4,
        "arch: there are no releases for 'mips'",
    ),
    (
        "from = \"nginx\"\narch = \"arm64\"",
        4,
        "arch: this is for OpenShift releases",
    ),
    (
        "from = \"file:\"",
        3,
        "from: there is no file behind `file:`",
    ),
    ("from = \"nginx\"\ntags = []", 4, "tags: the list is empty"),
    (
        "from = \"nginx\"\ntags = [\"1\",\n\"1.*\"]",
        5,
        "tags: it is no tag; this must be a tag such as \"1.27\" (patterns go into",
    ),
    (
        "from = \"nginx\"\ntags = [\"1\", \"1\"]",
        4,
        "tags: it is in the list twice",
    ),
    (
        "from = \"nginx\"\ntags = \"1\"",
        4,
        "tags: this is a string, but it must be a list of tags, or a table",
    ),
    (
        "from = \"nginx:1\"\ntags = [\"1\"]",
        4,
        "tags: nothing in `from` has tags to choose from",
    ),
    (
        "from = \"nginx\"\ntags = { include = [\"1\",\n\"/(/\"] }",
        5,
        "tags.include: unclosed group; this must be a pattern",
    ),
    (
        "from = \"nginx\"\ntags = { semver = \"new\" }",
        4,
        "tags.semver: unexpected character 'n'",
    ),
    (
        "from = \"nginx\"\ntags = { latest = 0 }",
        4,
        "tags.latest: this must be 1 or more",
    ),
    (
        "from = \"nginx\"\ntags = { order = \"date\" }",
        4,
        "tags.order: it is the order of `latest`",
    ),
    (
        "from = \"nginx\"\ntags = { latest = 1, order = \"size\" }",
        4,
        "tags.order: there is no such choice; this must be \"semver\", \"name\" or \"date\"",
    ),
    (
        "from = \"nginx\"\ntags = { prerelease = true }",
        4,
        "tags.prerelease: it is about `semver` and `latest`",
    ),
    (
        "from = \"nginx\"\ntags = { since = \"soon\" }",
        4,
        "tags.since: ",
    ),
    (
        "from = \"nginx\"\nto = \"far\"",
        4,
        "to: no [[target]] is called far; possible here: store, near, hub-only",
    ),
    ("from = \"nginx\"\nto = []", 4, "to: the list is empty"),
    (
        "from = \"nginx\"\nto = [\"near\", \"near\"]",
        4,
        "to: it is in the list twice",
    ),
    (
        "from = \"corp/app\"\nto = \"hub-only\"",
        3,
        "from: the target hub-only is not for it: see `only`",
    ),
    (
        "from = \"nginx\"\nplatforms = [\"arm64\"]",
        4,
        "platforms: it is no platform",
    ),
    (
        "from = \"nginx\"\nplatforms = []",
        4,
        "platforms: the list is empty",
    ),
    (
        "from = \"nginx\"\nverify = \"all\"",
        4,
        "verify: there is no such choice; this must be \"never\", \"tags\" or \"deep\"",
    ),
    (
        "from = \"nginx\"\nprune = \"yes\"",
        4,
        "prune: there is no such choice",
    ),
    (
        "from = \"nginx\"\ntags = [\"1\"]\nprune = \"delete\"",
        5,
        "prune: no list of tags is asked for",
    ),
    (
        "from = \"nginx\"\nprune_max = 3",
        4,
        "prune_max: nothing is pruned in this set",
    ),
    (
        "from = \"nginx\"\nprune = \"report\"\nprune_max = 0",
        5,
        "prune_max: this must be 1 or more",
    ),
    (
        "from = \"nginx\"\nmin_tags = -1",
        4,
        "min_tags: this must be 1 or more",
    ),
    (
        "from = \"nginx\"\nschedule = \"every day\"",
        4,
        "schedule: ",
    ),
    (
        "from = \"nginx\"\nschedule = \"0 6 * * *\"\nevery = \"6h\"",
        5,
        "every: there is a `schedule` as well",
    ),
    (
        "from = \"nginx\"\nevery = \"0s\"",
        4,
        "every: it must be more than 0",
    ),
    (
        "from = \"nginx\"\njitter = \"1m\"",
        4,
        "jitter: there is neither `schedule` nor `every`",
    ),
    (
        "from = \"nginx\"\nquiet = \"8-18h\"",
        4,
        "quiet: '8' is no time of the day; this must be hours",
    ),
    (
        "from = \"nginx\"\nbandwidth = \"50MiB\"",
        4,
        "bandwidth: there is no /s at its end",
    ),
    (
        "from = \"nginx\"\nbandwidth = \"0B/s\"",
        4,
        "bandwidth: it must be more than 0",
    ),
    (
        "from = \"nginx\"\nimmutable = \"[\"",
        4,
        "immutable: unclosed character class",
    ),
    (
        "from = \"nginx\"\n[[prefetch]]\nname = \"A\"\nfrom = \"nginx\"",
        5,
        "name: another set has this name",
    ),
];

#[test]
fn what_is_wrong_is_refused_where_it_stands() {
    let mut faults = Vec::new();
    for (text, line, said) in WRONG {
        let before = TARGETS.lines().count();
        let refused = refusal(&format!("{TARGETS}[[prefetch]]\nname = \"a\"\n{text}"));
        let key = match said.starts_with("prefetch:") {
            true => "",
            false => "prefetch.",
        };
        let expected = format!("/etc/tidegate/proxy.toml:{}: {key}{said}", line + before);
        if !refused.starts_with(&expected) {
            faults.push(format!("{text}\n  {refused}\n  {expected}"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    for name in ["", "a/b", "-a", "a b", &"a".repeat(65)] {
        let refused = refusal(&format!(
            "[[prefetch]]\nname = \"{name}\"\nfrom = \"nginx\""
        ));
        assert!(refused.contains(":2: prefetch.name: "), "{refused}");
    }
    let off = "[store]\nenabled = false\n[[prefetch]]\nname = \"a\"\nfrom = \"nginx\"";
    let refused = refusal(off);
    assert!(
        refused.contains(":4: prefetch.name: [store] enabled is false"),
        "{refused}"
    );
    let refused = refusal(&format!("{off}\nto = \"store\""));
    assert!(
        refused.contains(":6: prefetch.to: [store] enabled is false"),
        "{refused}"
    );
}
