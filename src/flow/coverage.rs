use std::ops::Range;

/// Which bytes of a growing blob are there, and which are about to come.
///
/// Segments never overlap each other nor what is present: a byte is asked of the upstream once.
#[derive(Debug)]
pub(super) struct Coverage {
    size: u64,
    /// Written, merged, in order.
    present: Vec<Range<u64>>,
    segments: Vec<Segment>,
    next_id: u64,
    splits: bool,
    /// No gap is filled by a longer segment, in bytes; `None` for no bound.
    part: Option<u64>,
}

/// A run of bytes that one upstream request delivers, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Unique within its blob.
    pub(super) id: u64,
    /// Before this, all that it got is written.
    done: u64,
    /// The next byte that is not claimed for writing yet.
    pub(super) at: u64,
    /// Where it ends (excluded); lowered when another segment takes over the rest.
    pub(super) end: u64,
    /// Where its request ends (excluded): what of it was taken over can be given back.
    asked: u64,
}

impl Segment {
    /// Whether the byte `at` is this segment's to bring, claimed already or not.
    fn brings(&self, at: u64) -> bool {
        (self.done..self.end).contains(&at)
    }
}

/// How far ahead of a segment a reader may ask, in bytes, and still wait for it.
const NEAR: u64 = 2 << 20;

impl Coverage {
    /// Nothing of a blob of `size` bytes yet.
    pub(super) fn new(size: u64) -> Self {
        Self {
            size,
            present: Vec::new(),
            segments: Vec::new(),
            next_id: 0,
            splits: true,
            part: None,
        }
    }

    /// Up to where the bytes from `start` on are there, without a gap.
    pub(super) fn reach(&self, start: u64) -> u64 {
        let holding = self.present.iter().find(|range| range.contains(&start));
        holding.map_or(start, |range| range.end)
    }

    /// Whether all bytes are there.
    pub(super) fn is_whole(&self) -> bool {
        self.reach(0) == self.size
    }

    /// Whether the bytes from `start` on are there or come soon.
    pub(super) fn is_near(&self, start: u64) -> bool {
        let at = self.reach(start);
        at >= self.size
            || self
                .segments
                .iter()
                .any(|s| s.brings(at) && at.saturating_sub(s.at) <= NEAR)
    }

    /// A new segment for a reader of all from `start` on, unless the bytes come anyway. It takes
    /// over the rest of the segment that would have reached `start` late.
    pub(super) fn split(&mut self, start: u64) -> Option<Segment> {
        if !self.splits || self.is_near(start) {
            return None;
        }
        let at = self.reach(start);
        if let Some(slow) = self.segments.iter_mut().find(|s| s.brings(at)) {
            slow.end = at;
        }
        Some(self.open(at, u64::MAX))
    }

    /// From now on gaps are filled part by part, of so many bytes each. The only segment keeps one
    /// part, and gives up the rest. Whether it did: not where there are several, or little is left.
    pub(super) fn begin_parts(&mut self, part: u64) -> bool {
        let [only] = &mut self.segments[..] else {
            return false;
        };
        let end = only.at.saturating_add(part.max(1));
        let is_worth_it = self.splits && only.end > end;
        if is_worth_it {
            only.end = end;
            self.part = Some(part.max(1));
        }
        is_worth_it
    }

    /// From now on gaps are filled as a whole again, by those next to them where they can.
    pub(super) fn end_parts(&mut self) {
        self.part = None;
        self.stretch();
    }

    /// The segment is over, and has not brought all. What its neighbour's request brings anyway is
    /// that one's again.
    pub(super) fn fail(&mut self, id: u64) {
        self.close(id);
        self.stretch();
    }

    /// Gives each segment that is under way what its request brings, as far as nobody else does.
    fn stretch(&mut self) {
        for index in 0..self.segments.len() {
            let (at, end, asked) = {
                let s = &self.segments[index];
                (s.at, s.end, s.asked)
            };
            // One at its end may have thrown away what came after it.
            if at < end && end < asked {
                self.segments[index].end = self.boundary(at).min(asked).max(end);
            }
        }
    }

    /// How many segments there are.
    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// How many bytes are there.
    pub(super) fn arrived(&self) -> u64 {
        self.present
            .iter()
            .map(|range| range.end - range.start)
            .sum()
    }

    /// A segment for the first gap that nobody fills.
    pub(super) fn fill_gap(&mut self) -> Option<Segment> {
        let mut at = 0;
        loop {
            let next = self.reach(at);
            let next = self
                .segments
                .iter()
                .find(|s| s.brings(next))
                .map_or(next, |s| s.end);
            if next >= self.size {
                return None;
            }
            if next == at && self.reach(at) == at {
                return Some(self.open(at, self.part.unwrap_or(u64::MAX)));
            }
            at = next;
        }
    }

    /// Claims up to `bytes` for writing by the segment: the range that it may write, empty at its
    /// end. What is claimed can't be taken over any more.
    pub(super) fn claim(&mut self, id: u64, bytes: u64) -> Range<u64> {
        let Some(segment) = self.segments.iter_mut().find(|s| s.id == id) else {
            return 0..0;
        };
        let start = segment.at;
        segment.at = segment.end.min(start.saturating_add(bytes));
        start..segment.at
    }

    /// A range that the segment had claimed has been written.
    pub(super) fn written(&mut self, id: u64, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let own = self.segments.iter_mut().find(|s| s.id == id);
        own.into_iter().for_each(|s| s.done = range.end);
        let index = self.present.partition_point(|r| r.start < range.start);
        self.present.insert(index, range);
        self.present.dedup_by(|next, before| {
            let touches = next.start <= before.end;
            if touches {
                before.end = before.end.max(next.end);
            }
            touches
        });
    }

    /// The segment as it stands; `None` once it is closed.
    pub(super) fn segment(&self, id: u64) -> Option<Segment> {
        self.segments.iter().find(|s| s.id == id).cloned()
    }

    /// The segment as it stands, whose bytes are now asked for up to its end.
    pub(super) fn ask(&mut self, id: u64) -> Option<Segment> {
        let segment = self.segments.iter_mut().find(|s| s.id == id)?;
        segment.asked = segment.end;
        Some(segment.clone())
    }

    /// The segment is over.
    pub(super) fn close(&mut self, id: u64) {
        self.segments.retain(|s| s.id != id);
    }

    /// The segment's request was answered with the whole blob: nothing is split off from now on, and
    /// it brings all that nobody else does.
    pub(super) fn ignore(&mut self, id: u64) {
        self.splits = false;
        let size = self.size;
        let own = self.segments.iter_mut().find(|s| s.id == id);
        own.into_iter().for_each(|s| s.asked = size);
        self.end_parts();
    }

    /// The upstream ignores ranges: no segment is split off from now on. Whether the segment, which
    /// has claimed nothing yet, could be given back to the one that it was split from.
    pub(super) fn give_back(&mut self, id: u64) -> bool {
        self.splits = false;
        let Some(own) = self.segment(id) else {
            return false;
        };
        let before = self
            .segments
            .iter_mut()
            .find(|s| s.id != id && s.end == own.at && s.at < s.end);
        let Some(before) = before else { return false };
        before.end = own.end;
        self.close(id);
        true
    }

    /// Where the first byte after `at` is that is there, or that another segment brings.
    fn boundary(&self, at: u64) -> u64 {
        let starts = self
            .present
            .iter()
            .map(|r| r.start)
            .chain(self.segments.iter().map(|s| s.done));
        let next = starts.filter(|start| *start > at).min();
        next.unwrap_or(self.size)
    }

    fn open(&mut self, at: u64, most: u64) -> Segment {
        let end = self.boundary(at).min(at.saturating_add(most));
        let segment = Segment {
            id: self.next_id,
            done: at,
            at,
            end,
            asked: end,
        };
        self.next_id += 1;
        self.segments.push(segment.clone());
        segment
    }
}

#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn write(coverage: &mut Coverage, id: u64, bytes: u64) -> Range<u64> {
        let range = coverage.claim(id, bytes);
        coverage.written(id, range.clone());
        range
    }

    #[test]
    fn one_segment_fills_a_blob_in_order() {
        let mut coverage = Coverage::new(10);
        let first = coverage.fill_gap().unwrap();
        assert_eq!((first.at, first.end), (0, 10));
        assert_eq!(coverage.fill_gap(), None);
        assert_eq!(write(&mut coverage, first.id, 4), 0..4);
        assert_eq!((coverage.reach(0), coverage.reach(5)), (4, 5));
        assert_eq!(write(&mut coverage, first.id, 40), 4..10);
        assert!(coverage.is_whole());
        assert_eq!(write(&mut coverage, first.id, 1), 10..10);
    }

    #[test]
    fn a_reader_far_ahead_takes_over_the_rest() {
        let mut coverage = Coverage::new(100 * MIB);
        let first = coverage.fill_gap().unwrap();
        assert_eq!(coverage.split(MIB), None);
        let second = coverage.split(50 * MIB).unwrap();
        assert_eq!((second.at, second.end), (50 * MIB, 100 * MIB));
        let third = coverage.split(20 * MIB).unwrap();
        assert_eq!((third.at, third.end), (20 * MIB, 50 * MIB));
        assert_eq!(coverage.segment(first.id).unwrap().end, 20 * MIB);
        assert_eq!(coverage.fill_gap(), None);
        assert_eq!(write(&mut coverage, first.id, 21 * MIB), 0..20 * MIB);
        assert_eq!(
            coverage.split(5 * MIB),
            None,
            "it comes from the third, which is near"
        );
        write(&mut coverage, third.id, 100 * MIB);
        assert_eq!(coverage.reach(0), 50 * MIB);
        write(&mut coverage, second.id, 100 * MIB);
        assert!(coverage.is_whole());
    }

    #[test]
    fn what_a_failed_segment_left_is_a_gap_again() {
        let mut coverage = Coverage::new(100 * MIB);
        let first = coverage.fill_gap().unwrap();
        let second = coverage.split(50 * MIB).unwrap();
        write(&mut coverage, second.id, MIB);
        write(&mut coverage, first.id, MIB);
        coverage.close(first.id);
        let again = coverage.fill_gap().unwrap();
        assert_eq!((again.at, again.end), (MIB, 50 * MIB));
        coverage.close(second.id);
        let rest = coverage.fill_gap().unwrap();
        assert_eq!((rest.at, rest.end), (51 * MIB, 100 * MIB));
    }

    #[test]
    fn a_split_that_got_no_range_is_given_back() {
        let mut coverage = Coverage::new(100 * MIB);
        let first = coverage.fill_gap().unwrap();
        let second = coverage.split(50 * MIB).unwrap();
        assert!(coverage.give_back(second.id));
        assert_eq!(coverage.segment(first.id).unwrap().end, 100 * MIB);
        assert_eq!(coverage.split(50 * MIB), None, "no more splits");
        assert!(!coverage.give_back(second.id));
    }

    #[test]
    fn parts_are_taken_in_order_beyond_the_first_ones() {
        let mut coverage = Coverage::new(100 * MIB);
        let first = coverage.fill_gap().unwrap();
        write(&mut coverage, first.id, 10 * MIB);
        assert!(coverage.begin_parts(16 * MIB));
        assert_eq!(coverage.segment(first.id).unwrap().end, 26 * MIB);
        let parts: Vec<_> = std::iter::from_fn(|| coverage.fill_gap()).collect();
        let ends: Vec<_> = parts.iter().map(|it| (it.at / MIB, it.end / MIB)).collect();
        assert_eq!(ends, [(26, 42), (42, 58), (58, 74), (74, 90), (90, 100)]);
        assert!(!coverage.begin_parts(MIB), "there are several");
        assert_eq!(coverage.arrived(), 10 * MIB);
    }

    #[test]
    fn what_a_refused_part_leaves_is_brought_by_the_request_before_it() {
        let mut coverage = Coverage::new(100 * MIB);
        let first = coverage.fill_gap().unwrap();
        assert!(coverage.begin_parts(16 * MIB));
        let [second, third] = [(); 2].map(|()| coverage.fill_gap().unwrap());
        // Whichever is refused first.
        coverage.fail(third.id);
        assert_eq!(coverage.segment(first.id).unwrap().end, 16 * MIB);
        coverage.fail(second.id);
        coverage.end_parts();
        assert_eq!(coverage.segment(first.id).unwrap().end, 100 * MIB);
        assert_eq!(coverage.fill_gap(), None);
    }

    #[test]
    fn a_request_for_a_part_is_given_no_more_than_it_asked_for() {
        let mut coverage = Coverage::new(100 * MIB);
        coverage.fill_gap().unwrap();
        assert!(coverage.begin_parts(16 * MIB));
        let [second, third] = [(); 2].map(|()| coverage.fill_gap().unwrap());
        coverage.ask(second.id);
        coverage.fail(third.id);
        assert_eq!(coverage.segment(second.id).unwrap().end, 32 * MIB);
        coverage.end_parts();
        let rest = coverage.fill_gap().unwrap();
        assert_eq!((rest.at, rest.end), (32 * MIB, 100 * MIB));
    }

    #[test]
    fn one_that_has_come_to_its_end_is_given_nothing_more() {
        let mut coverage = Coverage::new(100 * MIB);
        let first = coverage.fill_gap().unwrap();
        assert!(coverage.begin_parts(16 * MIB));
        let second = coverage.fill_gap().unwrap();
        // What came behind it is thrown away by now.
        assert_eq!(coverage.claim(first.id, 20 * MIB), 0..16 * MIB);
        coverage.fail(second.id);
        coverage.end_parts();
        assert_eq!(coverage.segment(first.id).unwrap().end, 16 * MIB);
        assert_eq!(coverage.fill_gap().unwrap().at, 16 * MIB);
    }

    #[test]
    fn a_part_that_is_answered_with_all_brings_what_nobody_else_does() {
        let mut coverage = Coverage::new(100 * MIB);
        let first = coverage.fill_gap().unwrap();
        assert!(coverage.begin_parts(16 * MIB));
        let second = coverage.fill_gap().unwrap();
        coverage.close(first.id);
        coverage.ignore(second.id);
        assert_eq!(coverage.segment(second.id).unwrap().end, 100 * MIB);
        assert!(!coverage.begin_parts(MIB), "ranges are ignored");
    }

    #[test]
    fn what_is_being_written_is_no_gap() {
        let mut coverage = Coverage::new(10);
        let first = coverage.fill_gap().unwrap();
        let claimed = coverage.claim(first.id, 4);
        assert_eq!(coverage.fill_gap(), None);
        assert!(coverage.is_near(2));
        coverage.written(first.id, claimed);
        assert_eq!(coverage.fill_gap(), None);
        let rest = coverage.claim(first.id, 6);
        assert_eq!(
            coverage.fill_gap(),
            None,
            "claimed to the end, not written yet"
        );
        assert!(!coverage.is_whole());
        coverage.written(first.id, rest);
        assert!(coverage.is_whole());
    }

    #[test]
    fn an_empty_blob_is_whole() {
        let mut coverage = Coverage::new(0);
        assert!(coverage.is_whole());
        assert_eq!(coverage.fill_gap(), None);
    }
}
