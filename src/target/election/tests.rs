use proptest::prelude::*;

use super::*;

fn ballot(wants: &[&[usize]], sizes: &[u64]) -> Ballot {
    Ballot {
        wants: wants.iter().map(|wants| wants.to_vec()).collect(),
        sizes: sizes.to_vec(),
        committed: false,
    }
}

/// Any ballot of so many repositories and blobs at most.
fn ballots(repositories: usize, blobs: usize) -> impl Strategy<Value = Ballot> {
    let sizes = prop::collection::vec(0..1000u64, 1..=blobs);
    sizes.prop_flat_map(move |sizes| {
        let all: Vec<usize> = (0..sizes.len()).collect();
        let most = all.len();
        let wants = prop::sample::subsequence(all, 0..=most);
        let wants = prop::collection::vec(wants, 1..=repositories);
        (wants, any::<bool>()).prop_map(move |(wants, committed)| Ballot {
            wants,
            sizes: sizes.clone(),
            committed,
        })
    })
}

/// The least cost there is, by trying every way. Nothing of the election is used but its idea of
/// cost.
fn brute_force(ballot: &Ballot) -> Cost {
    fn all(ballot: &Ballot, by: &[Vec<usize>], tried: &mut Vec<Option<usize>>) -> Option<Cost> {
        let Some(wanting) = by.get(tried.len()) else {
            return Cost::of(ballot, by, tried);
        };
        let choices: Vec<_> = match wanting.as_slice() {
            [] => vec![None],
            some => some.iter().copied().map(Some).collect(),
        };
        let costs = choices.into_iter().filter_map(|choice| {
            tried.push(choice);
            let cost = all(ballot, by, tried);
            tried.pop();
            cost
        });
        costs.min()
    }
    all(ballot, &ballot.wanted_by(), &mut Vec::new()).unwrap()
}

/// That each blob is uploaded once, by one that wants it, and that whoever mounts comes later.
fn is_sound(ballot: &Ballot, elected: &Elected) -> Result<(), TestCaseError> {
    let mut sorted = elected.order.clone();
    sorted.sort_unstable();
    prop_assert_eq!(sorted, (0..ballot.wants.len()).collect::<Vec<_>>());
    let place = |repository| elected.order.iter().position(|&at| at == repository);
    for (blob, wanting) in ballot.wanted_by().iter().enumerate() {
        match elected.uploader[blob] {
            None => prop_assert!(wanting.is_empty(), "nobody uploads {blob}"),
            Some(by) => {
                prop_assert!(wanting.contains(&by), "{by} does not want {blob}");
                for &other in wanting {
                    prop_assert!(place(by) <= place(other), "{other} is before {by}");
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn small_elections_are_optimal(ballot in ballots(4, 6)) {
        let elected = elect(&ballot);
        is_sound(&ballot, &elected)?;
        let cost = Cost::of(&ballot, &ballot.wanted_by(), &elected.uploader);
        prop_assert_eq!(cost, Some(brute_force(&ballot)));
    }

    #[test]
    fn large_elections_are_sound(ballot in ballots(40, 60)) {
        is_sound(&ballot, &elect(&ballot))?;
    }

    #[test]
    fn deciding_more_costs_no_less(ballot in ballots(4, 6), decided in 0..6usize) {
        let by = ballot.wanted_by();
        let whole = elect(&ballot).uploader;
        let mut part = whole.clone();
        part.iter_mut().skip(decided).for_each(|uploader| *uploader = None);
        let cost = |uploader| Cost::of(&ballot, &by, uploader).unwrap();
        prop_assert!(cost(&part) <= cost(&whole));
    }
}

#[test]
fn one_that_has_all_leads_alone() {
    let ballot = ballot(&[&[0, 1], &[0, 1, 2], &[1, 2]], &[10, 20, 30]);
    let elected = elect(&ballot);
    assert_eq!(elected.uploader, [Some(1), Some(1), Some(1)]);
    assert_eq!(elected.order[0], 1);
}

#[test]
fn one_waits_rather_than_three() {
    // Repository 1 shares something with everybody else, who share nothing with each other.
    let wants: [&[usize]; 4] = [&[0, 3], &[0, 1, 2], &[1, 4], &[2, 5]];
    let ballot = ballot(&wants, &[5, 5, 5, 100, 100, 100]);
    let elected = elect(&ballot);
    assert_eq!(elected.uploader[..3], [Some(0), Some(2), Some(3)]);
    assert_eq!(elected.order[3], 1);
}

#[test]
fn large_elections_are_quick() {
    let wants: Vec<Vec<usize>> = (0..64)
        .map(|at| (0..400).filter(|blob| (blob * 7 + at) % 5 < 2).collect())
        .collect();
    let ballot = Ballot {
        wants,
        sizes: (1..=400).collect(),
        committed: true,
    };
    assert!(elect(&ballot).uploader.iter().all(Option::is_some));
}
