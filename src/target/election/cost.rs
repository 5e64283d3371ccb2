use super::Ballot;

/// What an election costs; the smaller, the better. See the room's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::target) struct Cost {
    /// How many are led by one that is led itself.
    pub(in crate::target) chained: usize,
    /// The bytes waited for.
    pub(in crate::target) waited: u64,
    /// How many lead.
    pub(in crate::target) leaders: usize,
}

impl Cost {
    /// Of an election, whole or in part: deciding more never makes it less. `None` where somebody
    /// waits for itself.
    pub(super) fn of(
        ballot: &Ballot,
        wanted_by: &[Vec<usize>],
        uploader: &[Option<usize>],
    ) -> Option<Self> {
        order(ballot, wanted_by, uploader)?;
        let leaders = leaders(ballot, wanted_by, uploader);
        let mut first = vec![0u64; ballot.wants.len()];
        for (blob, &by) in uploader.iter().enumerate() {
            if let Some(by) = by
                && (ballot.committed || wanted_by[blob].len() > 1)
            {
                first[by] = first[by].saturating_add(ballot.sizes[blob]);
            }
        }
        let mut cost = Self {
            chained: 0,
            waited: 0,
            leaders: 0,
        };
        let mut leads = vec![false; ballot.wants.len()];
        for all in &leaders {
            cost.chained += usize::from(all.iter().any(|&leader| !leaders[leader].is_empty()));
            for &leader in all {
                cost.waited = cost.waited.saturating_add(first[leader]);
                leads[leader] = true;
            }
        }
        cost.leaders = leads.into_iter().filter(|leads| *leads).count();
        Some(cost)
    }
}

/// All repositories, each behind its leaders, else in their own order; `None` where there is none
/// such.
pub(super) fn order(
    ballot: &Ballot,
    wanted_by: &[Vec<usize>],
    uploader: &[Option<usize>],
) -> Option<Vec<usize>> {
    let leaders = leaders(ballot, wanted_by, uploader);
    let mut order = Vec::with_capacity(leaders.len());
    let mut placed = vec![false; leaders.len()];
    while order.len() < leaders.len() {
        let before = order.len();
        let ready = |placed: &[bool], at: usize| {
            !placed[at] && leaders[at].iter().all(|&leader| placed[leader])
        };
        let now: Vec<_> = (0..leaders.len())
            .filter(|&at| ready(&placed, at))
            .collect();
        for at in now {
            placed[at] = true;
            order.push(at);
        }
        if order.len() == before {
            return None;
        }
    }
    Some(order)
}

/// For each repository, those that lead it.
fn leaders(
    ballot: &Ballot,
    wanted_by: &[Vec<usize>],
    uploader: &[Option<usize>],
) -> Vec<Vec<usize>> {
    let mut leaders = vec![Vec::new(); ballot.wants.len()];
    for (blob, &by) in uploader.iter().enumerate() {
        let Some(by) = by else { continue };
        for &other in &wanted_by[blob] {
            if other != by && !leaders[other].contains(&by) {
                leaders[other].push(by);
            }
        }
    }
    leaders
}
