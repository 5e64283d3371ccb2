use tidegate::ledger::FlowId;
use tidegate::oci::Repository;
use tidegate::target::Errand;

use super::*;

fn errand(repository: &str, number: u32, tag: Option<&str>) -> Errand {
    Errand {
        repository: Repository::new("docker.io".parse().unwrap(), name(repository)),
        digest: digest(number),
        tag: tag.map(super::tag),
        flow: FlowId::next(),
    }
}

/// Without what differs from run to run.
fn owed(state: &Arc<State>) -> Vec<(String, Digest, Option<String>, u32)> {
    let owed = state.queue("one").owed();
    owed.into_iter()
        .map(|it| {
            let errand = it.errand;
            let tag = errand.tag.map(|tag| tag.to_string());
            let repository = errand.repository.to_string();
            (repository, errand.digest, tag, it.attempts)
        })
        .collect()
}

fn row(
    repository: &str,
    number: u32,
    tag: Option<&str>,
    attempts: u32,
) -> (String, Digest, Option<String>, u32) {
    let repository = format!("docker.io/{repository}");
    let tag = tag.map(ToOwned::to_owned);
    (repository, digest(number), tag, attempts)
}

#[test]
fn what_is_owed_survives_until_it_is_done() {
    let fixture = Fixture::new();
    let (first, second) = (errand("a", 1, Some("t")), errand("b", 2, None));
    let start = fixture.now();
    {
        let state = fixture.open();
        let queue = state.queue("one");
        queue.owe(&second);
        fixture.pass(Duration::from_secs(5));
        queue.owe(&first);
        // Once more changes nothing.
        queue.owe(&second);
        queue.failed(
            &second,
            "no room",
            fixture.now() + Duration::from_millis(1500),
        );
        state.queue("two").owe(&errand("c", 3, None));
    }
    let state = fixture.open();
    let queue = state.queue("one");
    assert_eq!(
        owed(&state),
        [row("b", 2, None, 1), row("a", 1, Some("t"), 0)]
    );
    let all = queue.owed();
    assert_eq!(all[0].since, start);
    assert_eq!(all[0].last_error.as_deref(), Some("no room"));
    assert_eq!(all[0].next, fixture.now() + Duration::from_millis(1500));
    assert_eq!(all[1].last_error, None);
    assert_eq!(queue.len(), 2);
    queue.settle(&first);
    queue.settle(&second);
    assert!(queue.owed().is_empty());
    // What is not owed can't fail.
    queue.failed(&first, "late", fixture.now());
    assert!(queue.owed().is_empty() && !queue.owes(&first));
    assert_eq!(state.queue("two").owed().len(), 1);
}

/// A retry of the older one would set the tag back.
#[test]
fn a_tag_that_moves_leaves_its_older_manifest_behind() {
    let fixture = Fixture::new();
    let state = fixture.open();
    let queue = state.queue("one");
    let (older, newer) = (errand("a", 1, Some("t")), errand("a", 2, Some("t")));
    queue.owe(&older);
    queue.failed(&older, "down", fixture.now());
    fixture.pass(Duration::from_secs(1));
    queue.owe(&newer);
    assert!(queue.owes(&newer) && !queue.owes(&older));
    assert_eq!(
        owed(&state),
        [row("a", 1, None, 1), row("a", 2, Some("t"), 0)]
    );
    // Whoever is at work on the older one may say so under its old name.
    queue.failed(&older, "down", fixture.now());
    assert_eq!(owed(&state)[0], row("a", 1, None, 2));
    queue.settle(&older);
    assert_eq!(owed(&state), [row("a", 2, Some("t"), 0)]);
}

#[test]
fn what_is_there_by_its_tag_is_there_by_its_digest() {
    let fixture = Fixture::new();
    let state = fixture.open();
    let queue = state.queue("one");
    queue.owe(&errand("a", 1, None));
    queue.owe(&errand("a", 1, Some("t")));
    queue.owe(&errand("a", 1, Some("u")));
    queue.settle(&errand("a", 1, Some("t")));
    assert_eq!(owed(&state), [row("a", 1, Some("u"), 0)]);
    queue.settle(&errand("a", 1, None));
    assert_eq!(owed(&state), [row("a", 1, Some("u"), 0)]);
}

#[test]
fn an_error_is_kept_in_short() {
    let fixture = Fixture::new();
    let state = fixture.open();
    let queue = state.queue("one");
    queue.owe(&errand("a", 1, None));
    queue.failed(&errand("a", 1, None), &"ä".repeat(5000), fixture.now());
    let kept = queue.owed()[0].last_error.clone().unwrap();
    assert_eq!(kept.chars().count(), 1000);
}
