use super::*;

#[test]
fn what_is_noted_is_known_and_survives() {
    let fixture = Fixture::new();
    {
        let state = fixture.open();
        let catalog = state.catalog("one", TTL);
        catalog.note(&name("a"), &digest(1));
        catalog.note_manifest(&name("b"), &digest(9), &[digest(1), digest(2)]);
        catalog.note_tag(&name("b"), &tag("latest"), &digest(9));
        // At once, not only when it is on disk.
        assert!(catalog.holds(&name("a"), &digest(1)).is_some());
        state.catalog("two", TTL).note(&name("c"), &digest(1));
    }
    let state = fixture.open();
    let catalog = state.catalog("one", TTL);
    let known = |at: &str, number| {
        let known = catalog.holds(&name(at), &digest(number))?;
        assert!(known.fresh);
        Some((known.committed, known.manifest))
    };
    assert_eq!(known("a", 1), Some((false, false)));
    assert_eq!(known("b", 1), Some((true, false)));
    assert_eq!(known("b", 9), Some((true, true)));
    assert_eq!(known("a", 2), None);
    assert_eq!(known("c", 1), None, "that is another target's");
    let found = catalog.tag(&name("b"), &tag("latest")).unwrap();
    assert_eq!((found.digest, found.fresh), (digest(9), true));
    assert_eq!(catalog.entries(), 5);
    assert_eq!(state.targets(), ["one", "two"]);
    assert!(!fixture.aside().exists(), "to look at it is no damage");
}

#[test]
fn committed_holders_come_first() {
    let fixture = Fixture::new();
    let state = fixture.open();
    let catalog = state.catalog("one", TTL);
    catalog.note(&name("old"), &digest(1));
    fixture.pass(TTL);
    catalog.note(&name("a"), &digest(1));
    catalog.note_manifest(&name("z"), &digest(9), &[digest(1)]);
    catalog.note(&name("a"), &digest(2));
    let holders = catalog.holders(&digest(1));
    let names: Vec<_> = holders
        .iter()
        .map(|it| (it.name.as_str(), it.committed, it.fresh))
        .collect();
    let expected = [("z", true, true), ("a", false, true), ("old", false, false)];
    assert_eq!(names, expected);
    // A manifest is no blob: nobody can mount it.
    assert!(catalog.holders(&digest(9)).is_empty());
    // What is noted again keeps what was known.
    catalog.note(&name("z"), &digest(1));
    assert!(catalog.holders(&digest(1))[0].committed);
}

#[test]
fn what_proves_wrong_is_known_no_more() {
    let fixture = Fixture::new();
    let (a, latest) = (name("a"), tag("latest"));
    {
        let state = fixture.open();
        let catalog = state.catalog("one", TTL);
        catalog.note_manifest(&a, &digest(9), &[digest(1)]);
        catalog.note_tag(&a, &latest, &digest(9));
    }
    {
        let state = fixture.open();
        let catalog = state.catalog("one", TTL);
        catalog.withdraw(&a, &digest(1));
        catalog.withdraw_tag(&a, &latest);
        catalog.withdraw(&a, &digest(77));
        assert!(catalog.holds(&a, &digest(1)).is_none());
        assert!(catalog.holders(&digest(1)).is_empty());
        assert_eq!(state.catalog("one", TTL).withdrawals(), 2);
        // What is noted after it is not committed yet.
        catalog.note(&a, &digest(1));
        assert!(!catalog.holds(&a, &digest(1)).unwrap().committed);
    }
    let state = fixture.open();
    let catalog = state.catalog("one", TTL);
    assert!(catalog.tag(&a, &latest).is_none());
    assert!(!catalog.holds(&a, &digest(1)).unwrap().committed);
}

#[test]
fn entries_age_and_go() {
    let fixture = Fixture::new();
    {
        let state = fixture.open();
        let catalog = state.catalog("one", TTL);
        catalog.note(&name("a"), &digest(1));
        catalog.note_tag(&name("a"), &tag("t"), &digest(1));
    }
    let state = fixture.open();
    let catalog = state.catalog("one", TTL);
    let fresh = || Some(catalog.holds(&name("a"), &digest(1))?.fresh);
    fixture.pass(TTL - Duration::from_secs(1));
    assert_eq!(fresh(), Some(true));
    fixture.pass(Duration::from_secs(1));
    assert_eq!(fresh(), Some(false));
    assert!(!catalog.tag(&name("a"), &tag("t")).unwrap().fresh);
    assert_eq!(state.sweep(), 0);
    fixture.pass(TTL);
    assert_eq!(fresh(), None);
    assert!(catalog.holders(&digest(1)).is_empty());
    assert!(catalog.tag(&name("a"), &tag("t")).is_none());
    assert_eq!(catalog.entries(), 2, "they are still in the file");
    catalog.note(&name("b"), &digest(2));
    assert_eq!(state.sweep(), 2);
    assert!(catalog.holds(&name("b"), &digest(2)).is_some());
}

/// More than are looked at together.
#[tokio::test]
async fn a_sweep_finds_all_that_is_old() {
    let fixture = Fixture::new();
    let state = fixture.open();
    let catalog = state.catalog("one", TTL);
    for number in 0..10_000 {
        catalog.note(&name("a"), &digest(number));
    }
    catalog.synced().await.unwrap();
    fixture.pass(TTL * 2);
    for number in 0..100 {
        catalog.note(&name("a"), &digest(number));
    }
    assert_eq!(state.sweep(), 9_900);
    catalog.synced().await.unwrap();
    assert_eq!(catalog.entries(), 100);
}

#[tokio::test]
async fn a_repository_or_all_is_forgotten() {
    let fixture = Fixture::new();
    let state = fixture.open();
    let catalog = state.catalog("one", TTL);
    let fill = || {
        for at in ["a", "a/b", "b"] {
            catalog.note(&name(at), &digest(1));
            catalog.note_tag(&name(at), &tag("t"), &digest(1));
        }
    };
    fill();
    state.catalog("two", TTL).note(&name("a"), &digest(1));
    catalog.synced().await.unwrap();
    // Some is on disk, some is looked up lately, some is said again.
    assert!(catalog.holds(&name("a"), &digest(1)).is_some());
    catalog.note(&name("a"), &digest(1));
    assert_eq!(catalog.forget(Some(&name("a"))).unwrap(), 2);
    assert!(catalog.holds(&name("a"), &digest(1)).is_none());
    assert!(catalog.tag(&name("a"), &tag("t")).is_none());
    assert!(catalog.holds(&name("a/b"), &digest(1)).is_some());
    assert_eq!(catalog.entries(), 4);
    fill();
    catalog.synced().await.unwrap();
    assert_eq!(catalog.forget(None).unwrap(), 6);
    assert_eq!(catalog.entries(), 0);
    let other = state.catalog("two", TTL);
    assert!(other.holds(&name("a"), &digest(1)).is_some());
    assert_eq!(state.forget("two").unwrap(), 1);
    assert!(other.holds(&name("a"), &digest(1)).is_none());
}

#[test]
fn the_file_is_for_one_process() {
    let fixture = Fixture::new();
    let state = fixture.open();
    let error = State::open(&fixture.path).unwrap_err().to_string();
    assert!(error.contains("another process has it open"), "{error}");
    assert!(
        error.contains(&fixture.path.display().to_string()),
        "{error}"
    );
    let catalog = state.catalog("one", TTL);
    drop(state);
    assert!(State::open(&fixture.path).is_err(), "a handle is left");
    drop(catalog);
    fixture.open();
}
