//! The greedy set cover.

use std::cmp::Reverse;

use super::Ballot;

/// For each blob, who uploads it. Whoever is chosen later is led by earlier ones only.
pub(super) fn uploaders(ballot: &Ballot, wanted_by: &[Vec<usize>]) -> Vec<Option<usize>> {
    let mut uploader = vec![None; wanted_by.len()];
    let shared = |blob: &usize| wanted_by[*blob].len() > 1;
    // How many bytes each would upload that others want too, and how many of its own.
    let bytes = |wants: &[usize], of_others: bool| {
        let some = wants.iter().filter(|blob| shared(blob) == of_others);
        some.map(|&blob| ballot.sizes[blob].max(1)).sum::<u64>()
    };
    let mut gains: Vec<u64> = ballot.wants.iter().map(|all| bytes(all, true)).collect();
    let own: Vec<u64> = ballot.wants.iter().map(|all| bytes(all, false)).collect();
    let best = |gains: &[u64]| {
        let candidates = (0..gains.len()).filter(|&at| gains[at] > 0);
        candidates.max_by_key(|&at| (gains[at], Reverse(own[at]), Reverse(at)))
    };
    while let Some(chosen) = best(&gains) {
        for &blob in ballot.wants[chosen].iter().filter(|blob| shared(blob)) {
            if uploader[blob].is_none() {
                uploader[blob] = Some(chosen);
                for &other in &wanted_by[blob] {
                    gains[other] -= ballot.sizes[blob].max(1);
                }
            }
        }
    }
    for (blob, all) in wanted_by.iter().enumerate() {
        if let [only] = all.as_slice() {
            uploader[blob] = Some(*only);
        }
    }
    uploader
}
