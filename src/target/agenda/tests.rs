use tokio::sync::oneshot;

use super::*;
use crate::ledger::FlowId;

fn errand(tag: Option<&str>, content: &str) -> Errand {
    let repository = Repository::new("docker.io".parse().unwrap(), "a".parse().unwrap());
    Errand {
        repository,
        digest: Digest::of(content.as_bytes()),
        tag: tag.map(|tag| tag.parse().unwrap()),
        flow: FlowId::next(),
    }
}

fn add(agenda: &mut Agenda, tag: Option<&str>, content: &str) {
    agenda.add(Entry::new(errand(tag, content), Pace::Client), None);
}

/// What begins now: tags, and whether each errand's manifest is `content`.
fn begun(agenda: &mut Agenda) -> Vec<(u64, Errand)> {
    let taken = agenda.take(Instant::now(), usize::MAX);
    taken
        .into_iter()
        .map(|(id, entry)| (id, entry.errand))
        .collect()
}

fn summary(begun: &[(u64, Errand)]) -> Vec<(Option<String>, Digest)> {
    let one = |(_, errand): &(u64, Errand)| {
        (
            errand.tag.as_ref().map(ToString::to_string),
            errand.digest.clone(),
        )
    };
    begun.iter().map(one).collect()
}

fn failure() -> Error {
    Error::GivenUp("x")
}

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn the_same_errand_twice_is_one() {
    let mut agenda = Agenda::default();
    add(&mut agenda, Some("1"), "a");
    add(&mut agenda, Some("1"), "a");
    let first = begun(&mut agenda);
    assert_eq!(first.len(), 1);
    add(&mut agenda, Some("1"), "a");
    assert!(begun(&mut agenda).is_empty(), "it is under way");
    assert!(agenda.done(first[0].0, &Ok(Mirrored::default())).is_some());
    assert_eq!((agenda.len(), agenda.running()), (0, 0));
    assert!(agenda.slots.is_empty() && agenda.tagged.is_empty());
}

#[test]
fn a_tag_does_what_its_digest_alone_would_do() {
    let mut agenda = Agenda::default();
    add(&mut agenda, None, "a");
    add(&mut agenda, Some("1"), "a");
    add(&mut agenda, None, "a");
    let all = begun(&mut agenda);
    assert_eq!(summary(&all), [(Some("1".into()), Digest::of(b"a"))]);
    let mut agenda = Agenda::default();
    add(&mut agenda, None, "a");
    let alone = begun(&mut agenda);
    add(&mut agenda, Some("1"), "a");
    assert!(agenda.leaves_to_tag(&alone[0].1));
    assert_eq!(
        summary(&begun(&mut agenda)),
        [(Some("1".into()), Digest::of(b"a"))]
    );
}

#[test]
fn a_tag_that_moved_is_the_newer_ones() {
    let mut agenda = Agenda::default();
    add(&mut agenda, Some("1"), "old");
    let old = begun(&mut agenda);
    add(&mut agenda, Some("1"), "new");
    assert_eq!(agenda.errand(old[0].0).unwrap().tag, None);
    assert_eq!(
        summary(&begun(&mut agenda)),
        [(Some("1".into()), Digest::of(b"new"))]
    );
    // Back again, before either has ended.
    add(&mut agenda, Some("1"), "old");
    assert_eq!(
        summary(&begun(&mut agenda)),
        [(Some("1".into()), Digest::of(b"old"))]
    );
    agenda.failed(old[0].0, &failure(), Next::Now);
    let again = begun(&mut agenda);
    assert_eq!(summary(&again), [(None, Digest::of(b"old"))]);
}

#[test]
fn what_failed_waits_and_what_lacked_its_content_comes_when_asked_for() {
    let mut agenda = Agenda::default();
    add(&mut agenda, Some("1"), "a");
    for (next, is_eager) in [(Next::After(LONG), false), (Next::Supply(LONG), true)] {
        let (id, _) = begun(&mut agenda)[0];
        agenda.failed(id, &failure(), next);
        assert!(!agenda.has_ready(Instant::now()));
        add(&mut agenda, Some("1"), "a");
        assert_eq!(agenda.has_ready(Instant::now()), is_eager);
        let later = agenda.take(Instant::now() + 2 * LONG, 1);
        agenda.failed(later[0].0, &failure(), Next::Now);
    }
    assert_eq!(agenda.states(9)[0].attempts, 4);
}

#[test]
fn what_is_parked_comes_when_a_manifest_is_there() {
    let mut agenda = Agenda::default();
    let parts = [Digest::of(b"x"), Digest::of(b"y")];
    add(&mut agenda, Some("1"), "index");
    let (id, errand) = begun(&mut agenda).remove(0);
    agenda.failed(id, &failure(), Next::Parked(LONG, parts.to_vec()));
    assert_eq!(agenda.states(9)[0].attempts, 0);
    agenda.wake(&errand.repository, &Digest::of(b"z"));
    assert!(begun(&mut agenda).is_empty());
    agenda.wake(&errand.repository, &parts[1]);
    assert_eq!(begun(&mut agenda).len(), 1);
    assert!(!agenda.was_parked_in_vain(id));
    assert!(agenda.parked.is_empty());
    agenda.failed(id, &failure(), Next::Parked(LONG, parts[..1].to_vec()));
    assert_eq!(agenda.take(Instant::now() + 2 * LONG, 1).len(), 1);
    assert!(agenda.was_parked_in_vain(id));
}

#[test]
fn who_waits_is_told_and_what_nobody_keeps_is_gone() {
    let mut agenda = Agenda::default();
    let mut entry = Entry::new(errand(None, "a"), Pace::Client);
    entry.durable = false;
    let (waiter, mut outcome) = oneshot::channel();
    agenda.add(entry, Some(waiter));
    let (id, _) = begun(&mut agenda)[0];
    agenda.failed(id, &failure(), Next::Now);
    assert!(matches!(outcome.try_recv(), Ok(Err(Error::GivenUp(_)))));
    assert_eq!((agenda.len(), agenda.running()), (0, 0));
}

#[test]
fn what_fails_whatever_happens_is_not_the_only_probe() {
    let mut agenda = Agenda::default();
    for content in ["a", "b"] {
        add(&mut agenda, Some(content), content);
    }
    let mut probe = || {
        let (id, entry) = agenda.take_probe(Instant::now()).unwrap();
        agenda.failed(id, &failure(), Next::Now);
        entry.errand.tag.unwrap().to_string()
    };
    let probes = [probe(), probe(), probe(), probe()];
    assert_eq!(probes, ["a", "b", "a", "b"]);
}
