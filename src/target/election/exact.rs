//! Branch and bound: all ways, but for those that begin worse than the best one so far ends.

use super::Ballot;
use super::Cost;

/// The uploaders of least cost; `known` where none is better.
pub(super) fn uploaders(
    ballot: &Ballot,
    wanted_by: &[Vec<usize>],
    known: Vec<Option<usize>>,
) -> Vec<Option<usize>> {
    // What only one wants has one uploader; the largest decisions come first, and cut off most.
    let mut open: Vec<usize> = (0..wanted_by.len())
        .filter(|&blob| wanted_by[blob].len() > 1)
        .collect();
    open.sort_by_key(|&blob| std::cmp::Reverse(ballot.sizes[blob]));
    let decided = wanted_by.iter().map(|all| match all.as_slice() {
        [only] => Some(*only),
        _ => None,
    });
    let mut search = Search {
        ballot,
        wanted_by,
        open: &open,
        least: Cost::of(ballot, wanted_by, &known),
        best: known,
        tried: decided.collect(),
    };
    search.decide(0);
    search.best
}

struct Search<'a> {
    ballot: &'a Ballot,
    wanted_by: &'a [Vec<usize>],
    open: &'a [usize],
    least: Option<Cost>,
    best: Vec<Option<usize>>,
    tried: Vec<Option<usize>>,
}

impl Search<'_> {
    fn decide(&mut self, depth: usize) {
        let Some(cost) = Cost::of(self.ballot, self.wanted_by, &self.tried) else {
            return;
        };
        if self.least.is_some_and(|least| cost >= least) {
            return;
        }
        let Some(&blob) = self.open.get(depth) else {
            self.least = Some(cost);
            self.best.clone_from(&self.tried);
            return;
        };
        for &by in &self.wanted_by[blob] {
            self.tried[blob] = Some(by);
            self.decide(depth + 1);
        }
        self.tried[blob] = None;
    }
}
