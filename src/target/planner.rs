//! Brings errands that begin at the same time to an election, and claims what it decided.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::oneshot;

use super::Error;
use super::claims::By;
use super::claims::Claim;
use super::claims::Claimant;
use super::claims::Stake;
use super::election;
use super::election::Ballot;
use super::remote::ERRANDS;
use super::remote::Remote;
use crate::oci::Digest;
use crate::oci::Name;
use crate::registry::Mounts;

/// Where errands say what they want.
#[derive(Clone, Debug)]
pub(super) struct Planner(mpsc::Sender<Request>);

/// What an errand is to do.
#[derive(Debug)]
pub(super) struct Plan {
    /// Its place in the order of all errands.
    pub(super) number: u64,
    /// What it uploads.
    pub(super) claims: HashMap<Digest, Claim>,
}

#[derive(Debug)]
struct Request {
    name: Name,
    wants: BTreeMap<Digest, u64>,
    answer: oneshot::Sender<Plan>,
}

impl Planner {
    /// A planner, and its task, which ends when nobody has the planner any more.
    pub(super) fn new(remote: Arc<Remote>) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, mut requests) = mpsc::channel::<Request>(ERRANDS);
        let task = async move {
            let mut number = 0;
            let mut batch = Vec::new();
            while requests.recv_many(&mut batch, ERRANDS).await > 0 {
                // Others that are as far come to the same election.
                tokio::task::yield_now().await;
                while let Ok(request) = requests.try_recv() {
                    batch.push(request);
                }
                decide(&remote, std::mem::take(&mut batch), &mut number);
            }
        };
        (Self(sender), task)
    }

    /// What an errand is to do that wants so much at `name`.
    pub(super) async fn plan(
        &self,
        name: &Name,
        wants: BTreeMap<Digest, u64>,
    ) -> Result<Plan, Error> {
        let (answer, plan) = oneshot::channel();
        let name = name.clone();
        let request = Request {
            name,
            wants,
            answer,
        };
        let ended = |_| Error::GivenUp("the process is ending");
        self.0.send(request).await.map_err(|_| ended(()))?;
        plan.await.map_err(|_| ended(()))
    }
}

fn decide(remote: &Remote, batch: Vec<Request>, number: &mut u64) {
    let mounts = remote.mounting.now();
    let order = vote(remote, mounts, &batch);
    let mut batch: Vec<_> = batch.into_iter().map(Some).collect();
    for (errand, uploads) in order {
        let Some(request) = batch[errand].take() else {
            continue;
        };
        *number += 1;
        let claimant = Claimant {
            name: &request.name,
            number: *number,
            mounts,
        };
        let mut claims = HashMap::new();
        for digest in uploads {
            if let Stake::Mine(claim) = remote.claims.claim(&digest, &claimant, By::Upload)
                // Looked at again, now that nobody else can upload it.
                && remote.catalog.holds(&request.name, &digest).is_none()
                && remote.source(&digest, &request.name).is_none()
            {
                claims.insert(digest, claim);
            }
        }
        let number = *number;
        // An errand that has gone drops its claims here.
        let _ = request.answer.send(Plan { number, claims });
    }
}

/// All errands in the elected order, each with what it is to upload.
fn vote(remote: &Remote, mounts: Mounts, batch: &[Request]) -> Vec<(usize, Vec<Digest>)> {
    let mut repositories: Vec<(&Name, Vec<usize>)> = Vec::new();
    for (errand, request) in batch.iter().enumerate() {
        match repositories
            .iter_mut()
            .find(|(name, _)| **name == request.name)
        {
            Some((_, errands)) => errands.push(errand),
            None => repositories.push((&request.name, vec![errand])),
        }
    }
    let mut blobs = Blobs::default();
    let wants = repositories.iter().map(|(name, errands)| {
        let all = errands.iter().flat_map(|&errand| &batch[errand].wants);
        let open = all.filter(|(digest, _)| is_open(remote, mounts, name, digest));
        let places: BTreeSet<_> = open
            .map(|(digest, size)| blobs.place(digest, *size))
            .collect();
        places.into_iter().collect()
    });
    let wants = wants.collect();
    let elected = election::elect(&Ballot {
        wants,
        sizes: std::mem::take(&mut blobs.sizes),
        committed: mounts == Mounts::Committed,
    });
    let mut uploads: BTreeMap<Digest, usize> = BTreeMap::new();
    for (digest, place) in blobs.places {
        if let Some(repository) = elected.uploader[place] {
            uploads.insert(digest, repository);
        }
    }
    let mut order = Vec::with_capacity(batch.len());
    for repository in elected.order {
        for &errand in &repositories[repository].1 {
            let mine = |digest: &&Digest| uploads.get(digest) == Some(&repository);
            let mine: Vec<_> = batch[errand].wants.keys().filter(mine).cloned().collect();
            for digest in &mine {
                uploads.remove(digest);
            }
            order.push((errand, mine));
        }
    }
    order
}

/// Whether somebody has to be elected to upload `digest`, for `name` wants it, nobody brings it, and
/// it can be mounted from nowhere.
fn is_open(remote: &Remote, mounts: Mounts, name: &Name, digest: &Digest) -> bool {
    let youngest = Claimant {
        name,
        number: u64::MAX,
        mounts,
    };
    mounts != Mounts::Never
        && remote.catalog.holds(name, digest).is_none()
        && !remote.claims.is_claimed(digest, &youngest)
        && remote.source(digest, name).is_none()
}

/// Digests by their places in a ballot.
#[derive(Default)]
struct Blobs {
    places: HashMap<Digest, usize>,
    sizes: Vec<u64>,
}

impl Blobs {
    fn place(&mut self, digest: &Digest, size: u64) -> usize {
        if let Some(place) = self.places.get(digest) {
            return *place;
        }
        self.places.insert(digest.clone(), self.sizes.len());
        self.sizes.push(size);
        self.sizes.len() - 1
    }
}
