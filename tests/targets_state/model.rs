//! Random histories, against plain maps.

use std::collections::BTreeMap;

use fake_registry::Fuzz;
use proptest::prelude::*;

use super::*;

/// What may happen, to few names and digests, so that it happens to the same ones.
#[derive(Clone, Debug)]
enum Step {
    Note(u8, u8),
    Commit(u8, u8, Vec<u8>),
    Tag(u8, u8, u8),
    Withdraw(u8, u8),
    WithdrawTag(u8, u8),
    Forget(Option<u8>),
    Pass(u16),
    Sweep,
    Sync,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let few = 0..4_u8;
    let digests = prop::collection::vec(few.clone(), 0..3);
    prop_oneof![
        6 => (few.clone(), few.clone()).prop_map(|(at, what)| Step::Note(at, what)),
        3 => (few.clone(), few.clone(), digests).prop_map(|(at, what, of)| Step::Commit(at, what, of)),
        3 => (few.clone(), few.clone(), few.clone()).prop_map(|(at, tag, to)| Step::Tag(at, tag, to)),
        3 => (few.clone(), few.clone()).prop_map(|(at, what)| Step::Withdraw(at, what)),
        1 => (few.clone(), few.clone()).prop_map(|(at, tag)| Step::WithdrawTag(at, tag)),
        1 => prop::option::of(few).prop_map(Step::Forget),
        2 => (0..1500_u16).prop_map(Step::Pass),
        1 => Just(Step::Sweep),
        1 => Just(Step::Sync),
        2 => Just(Step::Reopen),
    ]
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    noted: u64,
    blob: bool,
    committed: bool,
    manifest: bool,
}

#[derive(Default)]
struct Model {
    now: u64,
    content: BTreeMap<(u8, u8), Known>,
    tags: BTreeMap<(u8, u8), (u64, u8)>,
}

impl Model {
    fn add(&mut self, at: u8, what: u8, more: Known) {
        let now = self.now;
        let entry = self.content.entry((at, what)).or_default();
        let before = if now - entry.noted < 2 * TTL.as_secs() {
            *entry
        } else {
            Known::default()
        };
        *entry = Known {
            noted: now,
            blob: before.blob || more.blob,
            committed: before.committed || more.committed,
            manifest: before.manifest || more.manifest,
        };
    }

    fn fresh(&self, noted: u64) -> Option<bool> {
        let age = self.now - noted;
        (age < 2 * TTL.as_secs()).then_some(age < TTL.as_secs())
    }

    fn apply(&mut self, step: &Step) {
        let blob = Known {
            blob: true,
            ..Known::default()
        };
        match step {
            Step::Note(at, what) => self.add(*at, *what, blob),
            Step::Commit(at, what, of) => {
                for named in of {
                    let committed = true;
                    self.add(*at, *named, Known { committed, ..blob });
                }
                let manifest = Known {
                    manifest: true,
                    ..Known::default()
                };
                self.add(*at, *what, manifest);
            }
            Step::Tag(at, tag, to) => drop(self.tags.insert((*at, *tag), (self.now, *to))),
            Step::Withdraw(at, what) => drop(self.content.remove(&(*at, *what))),
            Step::WithdrawTag(at, tag) => drop(self.tags.remove(&(*at, *tag))),
            Step::Forget(of) => {
                let stays = |at: u8| of.is_some_and(|of| of != at);
                self.content.retain(|(at, _), _| stays(*at));
                self.tags.retain(|(at, _), _| stays(*at));
            }
            Step::Pass(seconds) => self.now += u64::from(*seconds),
            Step::Sweep | Step::Sync | Step::Reopen => {}
        }
    }
}

/// Names of which one begins with another.
fn at(number: u8) -> Name {
    name(["a", "a/b", "ab", "b"][usize::from(number)])
}

fn version(number: u8) -> Tag {
    tag(&format!("v{number}"))
}

fn apply(fixture: &Fixture, state: &mut Option<Arc<State>>, step: &Step) {
    let open = state.get_or_insert_with(|| fixture.open());
    let catalog = open.catalog("one", TTL);
    let content = |number: &u8| digest(u32::from(*number));
    match step {
        Step::Note(name, what) => catalog.note(&at(*name), &content(what)),
        Step::Commit(name, what, of) => {
            let of: Vec<_> = of.iter().map(content).collect();
            catalog.note_manifest(&at(*name), &content(what), &of);
        }
        Step::Tag(name, tag, to) => catalog.note_tag(&at(*name), &version(*tag), &content(to)),
        Step::Withdraw(name, what) => catalog.withdraw(&at(*name), &content(what)),
        Step::WithdrawTag(name, tag) => catalog.withdraw_tag(&at(*name), &version(*tag)),
        Step::Forget(of) => drop(catalog.forget(of.map(at).as_ref()).unwrap()),
        Step::Pass(seconds) => fixture.pass(Duration::from_secs((*seconds).into())),
        Step::Sweep => drop(open.sweep()),
        Step::Sync => {}
        Step::Reopen => {
            drop(catalog);
            *state = None;
        }
    }
}

/// What is there in one repository, and who has what, is as the model has it.
fn compare(state: &Arc<State>, model: &Model) {
    let catalog = state.catalog("one", TTL);
    for what in 0..4 {
        let digest = digest(u32::from(what));
        let mut holders = BTreeMap::new();
        for name in 0..4 {
            let known = model.content.get(&(name, what));
            let known = known.and_then(|known| Some((model.fresh(known.noted)?, *known)));
            let found = catalog.holds(&at(name), &digest);
            let found = found.map(|found| (found.fresh, found.committed, found.manifest));
            let expected =
                known.map(|(fresh, it)| (fresh, it.committed || it.manifest, it.manifest));
            assert_eq!(found, expected, "{name} {what}");
            if let Some((fresh, it)) = known.filter(|(_, it)| it.blob) {
                holders.insert(at(name), (fresh, it.committed));
            }
            let known = model.tags.get(&(name, what));
            let known = known.and_then(|(noted, to)| Some((model.fresh(*noted)?, *to)));
            let found = catalog.tag(&at(name), &version(what));
            let found = found.map(|found| (found.fresh, found.digest));
            let expected = known.map(|(fresh, to)| (fresh, super::digest(u32::from(to))));
            assert_eq!(found, expected, "tag {name} {what}");
        }
        let found = catalog.holders(&digest);
        let found = found
            .into_iter()
            .map(|it| (it.name, (it.fresh, it.committed)));
        assert_eq!(
            found.collect::<BTreeMap<_, _>>(),
            holders,
            "holders of {what}"
        );
    }
}

#[test]
fn a_catalog_is_as_plain_maps_are() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let histories = prop::collection::vec(step(), 1..60);
    Fuzz::new(150).run("a catalog's history", &histories, |steps| {
        let fixture = Fixture::new();
        let mut model = Model {
            now: 1_800_000_000,
            ..Model::default()
        };
        let mut state = None;
        for step in &steps {
            apply(&fixture, &mut state, step);
            if matches!(step, Step::Sync) {
                let open = state.get_or_insert_with(|| fixture.open());
                runtime.block_on(open.synced()).unwrap();
            }
            model.apply(step);
            compare(state.get_or_insert_with(|| fixture.open()), &model);
        }
    });
}
