//! Random interleavings of readers, writers and failures.

use fake_registry::Fuzz;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const MIB: u64 = 1 << 20;

/// What happens to a growing blob.
#[derive(Clone, Debug)]
enum Event {
    /// A reader of all from here on comes.
    Reader(u64),
    /// Somebody looks for a gap.
    Gap,
    /// A segment gets so many bytes, and begins to write them.
    Claim(Index, u64),
    /// What a segment is writing is written.
    Written(Index),
    /// A segment ends: it is done, or it failed.
    Close(Index),
    /// The upstream ignored the range of a segment.
    GiveBack(Index),
    /// The first request is slow: the rest is asked for in parts of so many bytes.
    Parts(u64),
    /// It is not, any more.
    EndParts,
    /// A segment's rest is asked for again.
    Ask(Index),
    /// A segment ends that was refused, or was answered with the whole blob.
    Fail(Index, bool),
}

fn events() -> impl Strategy<Value = Event> {
    let place = || prop_oneof![0..64 * MIB, (0..64_u64).prop_map(|mib| mib * MIB)];
    let bytes = prop_oneof![1..8 * MIB, Just(1), Just(u64::MAX), Just(0)];
    prop_oneof![
        4 => place().prop_map(Event::Reader),
        2 => Just(Event::Gap),
        6 => (any::<Index>(), bytes).prop_map(|(which, bytes)| Event::Claim(which, bytes)),
        6 => any::<Index>().prop_map(Event::Written),
        2 => any::<Index>().prop_map(Event::Close),
        1 => any::<Index>().prop_map(Event::GiveBack),
        2 => (MIB / 2..16 * MIB).prop_map(Event::Parts),
        1 => Just(Event::EndParts),
        1 => any::<Index>().prop_map(Event::Ask),
        2 => (any::<Index>(), any::<bool>()).prop_map(|(which, all)| Event::Fail(which, all)),
    ]
}

/// A coverage, and what its segments are writing.
struct Blob {
    coverage: Coverage,
    writing: Vec<(u64, Range<u64>)>,
    claimed: Vec<Range<u64>>,
}

impl Blob {
    fn happen(&mut self, event: &Event) {
        let ids: Vec<u64> = self.coverage.segments.iter().map(|s| s.id).collect();
        let pick = |which: &Index| ids.get(which.index(ids.len().max(1))).copied();
        let is_writing = |id: &u64| self.writing.iter().any(|(writer, _)| writer == id);
        match event {
            Event::Reader(start) => {
                let start = (*start).min(self.coverage.size);
                let was_near = self.coverage.is_near(start);
                let split = self.coverage.split(start);
                assert!(!was_near || split.is_none());
                assert!(!self.coverage.splits || self.coverage.is_near(start));
            }
            Event::Gap => {
                let gap = self.coverage.fill_gap();
                let most = self.coverage.part.unwrap_or(u64::MAX);
                assert!(gap.is_none_or(|gap| gap.end - gap.at <= most));
            }
            Event::Claim(which, bytes) => {
                // One batch at a time.
                if let Some(id) = pick(which).filter(|id| !is_writing(id)) {
                    self.claim(id, *bytes);
                }
            }
            Event::Written(which) if !self.writing.is_empty() => {
                let (id, range) = self.writing.remove(which.index(self.writing.len()));
                self.coverage.written(id, range);
            }
            Event::Written(_) => {}
            Event::Close(which) => {
                if let Some(id) = pick(which).filter(|id| !is_writing(id)) {
                    self.coverage.close(id);
                }
            }
            Event::GiveBack(which) => {
                if let Some(id) = pick(which).filter(|id| !is_writing(id)) {
                    let given = self.coverage.give_back(id);
                    assert_eq!(given, self.coverage.segment(id).is_none());
                }
            }
            event => self.be_parted(event, &ids),
        }
    }

    /// What only happens where ranges are asked for.
    fn be_parted(&mut self, event: &Event, ids: &[u64]) {
        let is_writing = |id: &u64| self.writing.iter().any(|(writer, _)| writer == id);
        let pick = |which: &Index| {
            let id = ids.get(which.index(ids.len().max(1))).copied();
            id.filter(|id| !is_writing(id))
        };
        match event {
            Event::Parts(part) => {
                let before = self.coverage.segments.clone();
                if self.coverage.begin_parts(*part) {
                    let now = &self.coverage.segments[0];
                    assert!(before.len() == 1 && now.end < before[0].end);
                    assert_eq!(now.end - now.at, *part);
                }
            }
            Event::EndParts => self.coverage.end_parts(),
            Event::Ask(which) => {
                if let Some(id) = pick(which) {
                    let own = self.coverage.ask(id);
                    assert!(own.is_some_and(|own| own.asked == own.end));
                }
            }
            Event::Fail(which, is_all) => {
                if let Some(id) = pick(which) {
                    if *is_all {
                        self.coverage.ignore(id);
                    }
                    self.coverage.fail(id);
                    assert!(self.coverage.segment(id).is_none());
                }
            }
            other => unreachable!("{other:?}"),
        }
    }

    fn claim(&mut self, id: u64, bytes: u64) {
        let range = self.coverage.claim(id, bytes);
        assert!(range.end <= self.coverage.size);
        let overlaps = |other: &Range<u64>| range.start < other.end && other.start < range.end;
        assert!(
            !self.claimed.iter().any(overlaps),
            "written twice: {range:?}"
        );
        if !range.is_empty() {
            self.claimed.push(range.clone());
        }
        self.writing.push((id, range));
    }

    /// No byte is there, or about to come, twice; readers are told of no byte too many.
    fn check(&self) {
        let coverage = &self.coverage;
        let coming = coverage.segments.iter().map(|s| s.done..s.end);
        let mut all: Vec<_> = coverage.present.iter().cloned().chain(coming).collect();
        all.retain(|range| !range.is_empty());
        all.sort_by_key(|range| range.start);
        assert!(
            all.is_sorted_by(|one, next| one.end <= next.start),
            "{all:?}"
        );
        assert!(all.last().is_none_or(|last| last.end <= coverage.size));
        let sound = |s: &Segment| s.done <= s.at && s.at <= s.end;
        assert!(
            coverage.segments.iter().all(sound),
            "{:?}",
            coverage.segments
        );
        let written: u64 = coverage
            .present
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        let claimed: u64 = self
            .claimed
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        let writing: u64 = self
            .writing
            .iter()
            .map(|(_, range)| range.end - range.start)
            .sum();
        assert_eq!(written + writing, claimed);
    }

    /// All that is missing comes.
    fn finish(&mut self) {
        for _ in 0..500 {
            for (id, range) in std::mem::take(&mut self.writing) {
                self.coverage.written(id, range);
            }
            let ids: Vec<u64> = self.coverage.segments.iter().map(|s| s.id).collect();
            for id in ids {
                self.claim(id, 3 * MIB);
                let over = |s: &Segment| s.at == s.end;
                if self.coverage.segment(id).is_some_and(|s| over(&s)) {
                    let (id, range) = self.writing.pop().unwrap();
                    self.coverage.written(id, range);
                    self.coverage.close(id);
                }
            }
            self.coverage.fill_gap();
            self.check();
            if self.coverage.is_whole() {
                break;
            }
        }
    }
}

#[test]
fn no_byte_is_lost_or_written_twice() {
    let size = prop_oneof![4 => 0..64 * MIB, 1 => 0..10_u64];
    let inputs = (size, prop::collection::vec(events(), 0..80));
    Fuzz::new(2000).run("coverage of a growing blob", &inputs, |(size, events)| {
        let mut blob = Blob {
            coverage: Coverage::new(size),
            writing: Vec::new(),
            claimed: Vec::new(),
        };
        for event in &events {
            blob.happen(event);
            blob.check();
        }
        blob.finish();
        assert!(blob.coverage.is_whole(), "{:?}", blob.coverage);
        assert_eq!(
            blob.coverage
                .present
                .iter()
                .map(|r| r.end - r.start)
                .sum::<u64>(),
            size
        );
    });
}
