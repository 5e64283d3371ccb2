//! A file that can't be used is no reason not to start.

use std::fs;

use proptest::prelude::*;

use fake_registry::Fuzz;

use super::*;

fn filled(fixture: &Fixture) {
    let state = fixture.open();
    let catalog = state.catalog("one", TTL);
    for number in 0..2000 {
        catalog.note(&name("a"), &digest(number));
    }
}

/// All of this may find less than there was, and must not fail.
fn use_it(fixture: &Fixture) {
    let state = fixture.open();
    let catalog = state.catalog("one", TTL);
    for number in (0..2000).step_by(7) {
        let _ = catalog.holds(&name("a"), &digest(number));
    }
    let _ = catalog.holders(&digest(3));
    let _ = state.queue("one").owed();
    catalog.note(&name("b"), &digest(1));
    assert!(catalog.holds(&name("b"), &digest(1)).is_some());
}

#[test]
fn what_is_no_such_file_is_moved_aside() {
    for content in [&b"no database"[..], &[0; 100_000]] {
        let fixture = Fixture::new();
        fs::create_dir_all(fixture.path.parent().unwrap()).unwrap();
        fs::write(&fixture.path, content).unwrap();
        use_it(&fixture);
        assert!(fs::read(fixture.aside()).unwrap() == content);
        // What is noted then is kept.
        let state = fixture.open();
        let catalog = state.catalog("one", TTL);
        assert!(catalog.holds(&name("b"), &digest(1)).is_some());
    }
}

#[test]
fn a_file_that_is_cut_off_is_moved_aside() {
    let fixture = Fixture::new();
    filled(&fixture);
    let length = fs::metadata(&fixture.path).unwrap().len();
    let file = fs::File::options().write(true).open(&fixture.path).unwrap();
    file.set_len(length / 3).unwrap();
    use_it(&fixture);
    assert!(fixture.aside().exists());
}

#[test]
fn a_disk_that_is_none_is_an_error() {
    let fixture = Fixture::new();
    fs::create_dir_all(&fixture.path).unwrap();
    let error = State::open(&fixture.path).unwrap_err().to_string();
    let place = fixture.path.display().to_string();
    assert!(error.starts_with(&place), "{error}");
}

/// While it is open, too: somebody has written into it.
#[test]
fn wherever_it_is_damaged() {
    let whole = Fixture::new();
    filled(&whole);
    let whole = fs::read(&whole.path).unwrap();
    let places = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40);
    let near_start = prop::collection::vec((0..512_usize, any::<u8>()), 1..4);
    Fuzz::new(60).run(
        "targets.redb, damaged",
        &(places, near_start),
        |(places, near)| {
            let mut bytes = whole.clone();
            for (at, value) in places {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            for (at, value) in near {
                bytes[at] ^= value;
            }
            let fixture = Fixture::new();
            fs::create_dir_all(fixture.path.parent().unwrap()).unwrap();
            fs::write(&fixture.path, &bytes).unwrap();
            use_it(&fixture);
            use_it(&fixture);
        },
    );
}
