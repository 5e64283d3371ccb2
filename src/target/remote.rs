use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use std::time::SystemTime;

use tokio::sync::Notify;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;

use super::Catalog;
use super::CatalogState;
use super::Config;
use super::Errand;
use super::Error;
use super::Mirrored;
use super::OutageState;
use super::Pace;
use super::Queue;
use super::State;
use super::TargetState;
use super::agenda::Agenda;
use super::agenda::Entry;
use super::claims::Claims;
use super::ecr::Ecr;
use super::figures::Counts;
use super::lock;
use super::mounting::Mounting;
use super::outage::Gate;
use super::outage::Outage;
use super::part::Part;
use super::state::Holder;
use super::turns::Turns;
use crate::ledger::Ledger;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Repository;
use crate::registry::Mounts;
use crate::registry::Priority;
use crate::registry::Registry;

/// One target: what is known of it, what is owed to it, and who does what there.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) name: Arc<str>,
    pub(super) config: Config,
    pub(super) registry: Arc<Registry>,
    /// The same, for what nobody waits for.
    pub(super) background: Arc<Registry>,
    pub(super) catalog: Catalog,
    pub(super) claims: Arc<Claims>,
    pub(super) turns: Turns,
    pub(super) ecr: Ecr,
    pub(super) mounting: Mounting,
    pub(super) counts: Counts,
    pub(super) lanes: Lanes,
    pub(super) queue: Queue,
    pub(super) agenda: Mutex<Agenda>,
    pub(super) outage: Mutex<Outage>,
    pub(super) last_success: Mutex<Option<SystemTime>>,
    closed: AtomicBool,
    ending: AtomicBool,
    /// There may be something to begin.
    pub(super) bell: Notify,
    /// There may be nothing under way.
    pub(super) quiet: Notify,
}

/// How much is done at a time.
#[derive(Debug)]
pub(super) struct Lanes {
    /// Uploads.
    pub(super) uploads: Semaphore,
    /// Blobs that nobody waits for, asked for from the supply and not come yet.
    pub(super) asks: Semaphore,
    /// Requests without much of a body.
    pub(super) requests: Semaphore,
}

/// Errands at a time.
pub(super) const ERRANDS: usize = 64;
const UPLOADS: usize = 16;
const ASKS: usize = 32;
const REQUESTS: usize = 32;
/// The most errands that are told of one by one.
const TOLD: usize = 100;

impl Remote {
    pub(super) fn new(config: Config, state: &Arc<State>, ledger: Ledger) -> Result<Self, Error> {
        let name: Arc<str> = config.registry.name.as_str().into();
        let registry =
            Registry::new(config.registry.clone(), ledger).map_err(|error| Error::Registry {
                what: format!("target {name}"),
                error,
                advice: String::new(),
            })?;
        let habits = registry.habits();
        let queue = state.queue(&name);
        Ok(Self {
            catalog: state.catalog(&name, config.catalog_ttl),
            claims: Arc::default(),
            turns: Turns::default(),
            ecr: Ecr::default(),
            mounting: Mounting::new(habits.mounts, habits.sparse),
            counts: Counts::default(),
            lanes: Lanes {
                uploads: Semaphore::new(UPLOADS),
                asks: Semaphore::new(ASKS),
                requests: Semaphore::new(REQUESTS),
            },
            queue,
            agenda: Mutex::default(),
            outage: Mutex::default(),
            last_success: Mutex::default(),
            closed: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            bell: Notify::new(),
            quiet: Notify::new(),
            background: Arc::new(registry.at_pace(Priority::Background)),
            registry: Arc::new(registry),
            name,
            config,
        })
    }

    /// Puts on the agenda what an earlier process left owed.
    pub(super) fn owe_again(&self) {
        let mut agenda = lock(&self.agenda);
        for owed in self.queue.owed() {
            let mut entry = Entry::new(owed.errand, Pace::Background);
            entry.part = Part::of_pulls(self.config.complete);
            entry.resumed = true;
            entry.since = owed.since;
            entry.attempts = owed.attempts;
            entry.last_error = owed.last_error;
            agenda.add(entry, None);
        }
    }

    /// Whether `repository` is mirrored there.
    pub(super) fn takes(&self, repository: &Repository) -> bool {
        self.config.only.passes(&repository.to_string())
    }

    /// Whether `part` of `errand` is known to be at `name`.
    pub(super) fn has(&self, name: &Name, errand: &Errand, part: &Part) -> bool {
        let standing = self.standing(name, errand, part);
        standing.is_some_and(|standing| standing.fresh)
    }

    /// What is known to be at `name` in the place of `part` of `errand`.
    pub(super) fn standing(&self, name: &Name, errand: &Errand, part: &Part) -> Option<Standing> {
        let tagged = match &errand.tag {
            Some(tag) => Some(self.catalog.tag(name, tag)?),
            None => None,
        };
        let digest = tagged
            .as_ref()
            .map_or(&errand.digest, |known| &known.digest);
        let known = self.catalog.holds(name, digest)?;
        let is_part = tagged
            .as_ref()
            .is_some_and(|known| known.part.is_some() && known.part == part.known(&errand.digest));
        // An index without some of its manifests is known, but not as committed.
        let part_does = *part == Part::Requested && tagged.is_some();
        let is_whole = *digest == errand.digest && (known.committed || part_does);
        (is_part || is_whole).then(|| Standing {
            fresh: known.fresh && tagged.as_ref().is_none_or(|known| known.fresh),
            can_be_asked: is_part || (known.committed && known.manifest),
            digest: digest.clone(),
        })
    }

    /// A repository that `name` can mount `digest` from, as far as is known.
    pub(super) fn source(&self, digest: &Digest, name: &Name) -> Option<Holder> {
        let mounts = self.mounting.now();
        if mounts == Mounts::Never {
            return None;
        }
        let usable =
            |holder: &Holder| holder.name != *name && (holder.committed || mounts == Mounts::Any);
        let holders = self.catalog.holders(digest);
        holders.into_iter().find(usable)
    }

    /// `errand` is owed from now on; a copy of it that nobody keeps where it is not to be `durable`:
    /// such a one fails at once while the target is out.
    pub(super) fn owe(&self, entry: Entry, waiter: Option<oneshot::Sender<Outcome>>) {
        let mut agenda = lock(&self.agenda);
        let waiter = match (
            entry.durable,
            lock(&self.outage).refusal(Instant::now()),
            waiter,
        ) {
            (false, Some(error), Some(waiter)) => {
                let _ = waiter.send(Err(Error::Out(error.to_owned())));
                return;
            }
            (_, _, waiter) => waiter,
        };
        if entry.durable {
            self.queue.owe(&entry.errand);
        }
        agenda.add(entry, waiter);
        drop(agenda);
        self.bell.notify_one();
    }

    /// What can begin now, `room` errands at most.
    pub(super) fn take(&self, room: usize) -> Vec<(u64, Entry)> {
        if self.is_closed() {
            return Vec::new();
        }
        let now = Instant::now();
        let mut agenda = lock(&self.agenda);
        let mut outage = lock(&self.outage);
        let taken = match outage.gate(now) {
            Gate::Open => agenda.take(now, room),
            Gate::One if room > 0 => agenda.take_probe(now).into_iter().collect(),
            Gate::One | Gate::Shut(_) => Vec::new(),
        };
        if !taken.is_empty() {
            outage.probed(now);
        }
        taken
    }

    /// When something can begin that can't now.
    pub(super) fn next_time(&self) -> Option<Instant> {
        let now = Instant::now();
        let agenda = lock(&self.agenda);
        match lock(&self.outage).gate(now) {
            Gate::Shut(at) if agenda.has_ready(now) => Some(at),
            Gate::Shut(at) => agenda.next_time().map(|next| next.max(at)),
            Gate::Open | Gate::One => agenda.next_time(),
        }
    }

    /// What errand `id` is to do now; `None` where nothing.
    pub(super) fn errand(&self, id: u64) -> Option<Errand> {
        lock(&self.agenda).errand(id).cloned()
    }

    /// Whether another errand is to put the same manifest under a tag.
    pub(super) fn leaves_to_tag(&self, errand: &Errand) -> bool {
        lock(&self.agenda).leaves_to_tag(errand)
    }

    /// The target has taken something.
    pub(super) fn took(&self) {
        if lock(&self.outage).over() {
            tracing::info!(
                target = &*self.name,
                "the target takes what it is given again"
            );
            self.bell.notify_one();
        }
    }

    /// `digest` of `repository` is there, with all that it names.
    pub(super) fn committed(&self, repository: &Repository, digest: &Digest) {
        lock(&self.agenda).wake(repository, digest);
        self.bell.notify_one();
    }

    /// Whether `name` is known to have the manifest `digest`, with all that it names.
    pub(super) fn has_manifest(&self, name: &Name, digest: &Digest) -> bool {
        let known = self.catalog.holds(name, digest);
        known.is_some_and(|known| known.fresh && known.committed && known.manifest)
    }

    /// Whether the target is out.
    pub(super) fn is_out(&self) -> bool {
        lock(&self.outage).state().is_some()
    }

    /// Begins nothing from now on.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.bell.notify_one();
        self.quiet.notify_waiters();
    }

    /// Begins not even a blob from now on, also of errands that are under way.
    pub(super) fn wind_down(&self) {
        self.ending.store(true, Ordering::Release);
        self.close();
    }

    /// Fails where nothing more is to begin.
    pub(super) fn check_goes_on(&self) -> Result<(), Error> {
        match self.ending.load(Ordering::Acquire) {
            true => Err(Error::GivenUp("the process is ending")),
            false => Ok(()),
        }
    }

    /// Whether nothing begins any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether nothing begins any more, and nothing is under way.
    pub(super) fn is_over(&self) -> bool {
        self.is_closed() && lock(&self.agenda).running() == 0
    }

    /// Whether nothing is under way, and nothing can begin now.
    pub(super) fn is_settled(&self) -> bool {
        let now = Instant::now();
        let agenda = lock(&self.agenda);
        let shut = matches!(lock(&self.outage).gate(now), Gate::Shut(_));
        agenda.running() == 0 && (self.is_closed() || shut || !agenda.has_ready(now))
    }

    /// How it does.
    pub(super) fn state(&self) -> TargetState {
        let agenda = lock(&self.agenda);
        let (owed, under_way, errands) = (agenda.len(), agenda.running(), agenda.states(TOLD));
        drop(agenda);
        let outage = lock(&self.outage);
        let outage = outage.state().map(|(since, error)| OutageState {
            since,
            error: error.to_owned(),
        });
        TargetState {
            name: self.name.clone(),
            url: self.config.registry.url.as_str().into(),
            outage,
            refuses_mounts: self.mounting.refuses(),
            owed,
            under_way,
            last_success: *lock(&self.last_success),
            errands,
            figures: self.counts.figures(),
            catalog: CatalogState {
                entries: self.catalog.entries(),
                withdrawals: self.catalog.withdrawals(),
            },
            limits: self.registry.limits(),
        }
    }
}

/// What is at a target in the place of an errand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// The manifest.
    pub(super) digest: Digest,
    /// Whether that is to be believed, and not to be asked.
    pub(super) fresh: bool,
    /// Whether a `HEAD` of it tells that the errand is done.
    pub(super) can_be_asked: bool,
}

/// How an errand ended.
pub(super) type Outcome = Result<Mirrored, Error>;
