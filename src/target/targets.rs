use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::Config;
use super::Errand;
use super::Error;
use super::Mirrored;
use super::Pace;
use super::Reader;
use super::State;
use super::Supply;
use super::TargetState;
use super::Wish;
use super::agenda::Entry;
use super::dispatch;
use super::lock;
use super::part::Part;
use super::remote::Remote;
use crate::ledger::FlowId;
use crate::ledger::Ledger;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Repository;
use crate::oci::Tag;

/// What a client was served: a manifest.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// Where it comes from.
    pub repository: Repository,
    /// The manifest.
    pub digest: Digest,
    /// The tag that it was asked for by, and that points to it upstream.
    pub tag: Option<Tag>,
    /// The client's flow.
    pub flow: FlowId,
}

/// All targets, and what is under way to them. Its drop breaks off what is under way, which is owed
/// still.
#[derive(Debug)]
pub struct Targets {
    remotes: Vec<Arc<Remote>>,
    state: Arc<State>,
    tasks: Mutex<JoinSet<()>>,
    /// From where content comes, once they are started.
    pub(super) supply: Mutex<Option<Arc<dyn Supply>>>,
}

impl Targets {
    /// Nothing is under way before [`Targets::start`].
    ///
    /// # Errors
    /// `Registry` where one can't be made of its configuration.
    pub fn new(
        configs: Vec<Config>,
        state: Arc<State>,
        ledger: Ledger,
    ) -> Result<Arc<Self>, Error> {
        let targets = Self::apart(configs, state, ledger)?;
        for remote in &targets.remotes {
            remote.owe_again();
        }
        Ok(targets)
    }

    /// The same, but that nothing is begun that was owed before: it stays owed.
    ///
    /// # Errors
    /// As [`Targets::new`].
    pub fn apart(
        configs: Vec<Config>,
        state: Arc<State>,
        ledger: Ledger,
    ) -> Result<Arc<Self>, Error> {
        let remotes = configs.into_iter().map(|config| {
            let remote = Remote::new(config, &state, ledger.clone())?;
            Ok(Arc::new(remote))
        });
        Ok(Arc::new(Self {
            remotes: remotes.collect::<Result<_, Error>>()?,
            state,
            tasks: Mutex::default(),
            supply: Mutex::default(),
        }))
    }

    /// Begins with what is owed, and takes what is pulled from now on. Needs a tokio runtime. Call
    /// it once.
    pub fn start(self: &Arc<Self>, supply: Arc<dyn Supply>) {
        *lock(&self.supply) = Some(supply.clone());
        let mut tasks = lock(&self.tasks);
        for remote in &self.remotes {
            tasks.spawn(dispatch::run(remote.clone(), supply.clone()));
        }
    }

    /// A client was served a manifest: it is owed to each target that takes its repository and is
    /// not known to have it. Waits for nothing.
    pub fn pulled(&self, pulled: Pulled) {
        let errand = Errand {
            repository: pulled.repository,
            digest: pulled.digest,
            tag: pulled.tag,
            flow: pulled.flow,
        };
        for remote in &self.remotes {
            if !remote.takes(&errand.repository) {
                continue;
            }
            let part = Part::of_pulls(remote.config.complete);
            match remote.config.place.of(&errand.repository) {
                Ok(name) if remote.has(&name, &errand, &part) => {}
                Ok(_) => {
                    let mut entry = Entry::new(errand.clone(), Pace::Client);
                    entry.part = part;
                    remote.owe(entry, None);
                }
                Err(error) => {
                    let target = &*remote.name;
                    tracing::debug!(target, "{} is not mirrored: {error}", errand.repository);
                }
            }
        }
    }

    /// The targets that clients of `repository` may be served from, in their order.
    pub fn readers(&self, repository: &Repository) -> Vec<Reader> {
        let remotes = self.remotes.iter();
        let readable = remotes.filter(|it| it.config.read && it.takes(repository));
        let readers = readable.filter_map(|remote| {
            Some(Reader {
                target: remote.name.clone(),
                registry: remote.registry.clone(),
                name: remote.config.place.of(repository).ok()?,
                catalog: remote.catalog.clone(),
            })
        });
        readers.collect()
    }

    /// Mirrors one manifest, with all that it names, now. It is tried once: what fails is not owed.
    /// Dropping the future leaves the work under way.
    ///
    /// # Errors
    /// Why it is not there.
    pub async fn mirror(&self, target: &str, wish: Wish) -> Result<Mirrored, Error> {
        let remote = self.remote(target)?;
        if !remote.takes(&wish.errand.repository) {
            return Err(Error::NotTaken(wish.errand.repository));
        }
        if remote.is_closed() {
            return Err(Error::GivenUp("the process is ending"));
        }
        let part = Part::of_wish(&wish, remote.config.complete);
        let mut entry = Entry::new(wish.errand, wish.pace);
        entry.part = part;
        entry.durable = false;
        let (waiter, outcome) = oneshot::channel();
        remote.owe(entry, Some(waiter));
        let ended = |_| Err(Error::GivenUp("the process is ending"));
        outcome.await.unwrap_or_else(ended)
    }

    /// The targets' names, as they are configured.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.remotes.iter().map(|it| it.name.clone()).collect()
    }

    /// Begins no errand from now on; those under way go on.
    pub fn close(&self) {
        for remote in &self.remotes {
            remote.close();
        }
    }

    /// Ends within `most`: blobs that are on their way come to their end, and are noted, so that nobody
    /// sends them again; nothing else begins. What is under way then is broken off.
    pub async fn wind_down(&self, most: Duration) {
        for remote in &self.remotes {
            remote.wind_down();
        }
        let _ = tokio::time::timeout(most, self.settled()).await;
        self.abandon().await;
    }

    /// Breaks off what is under way, which is owed still. What was noted is on disk at the return.
    pub async fn abandon(&self) {
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        tasks.shutdown().await;
        self.synced().await;
    }

    /// Waits until nothing is under way and nothing can begin now, and what was noted is on disk.
    /// What waits for a later try is not waited for.
    pub async fn settled(&self) {
        for remote in &self.remotes {
            loop {
                let mut quiet = pin!(remote.quiet.notified());
                quiet.as_mut().enable();
                if remote.is_settled() {
                    break;
                }
                quiet.await;
            }
        }
        self.synced().await;
    }

    async fn synced(&self) {
        if let Err(error) = self.state.synced().await {
            tracing::warn!("what is known of targets is not on disk: {error}");
        }
    }

    /// How they do.
    pub fn states(&self) -> Vec<TargetState> {
        self.remotes.iter().map(|remote| remote.state()).collect()
    }

    /// Forgets what `target` is known to have, in `name` or everywhere: how many entries.
    /// It is on disk at the return; this blocks.
    ///
    /// # Errors
    /// `NoTarget`; `State` when the disk fails.
    pub fn forget(&self, target: &str, name: Option<&Name>) -> Result<u64, Error> {
        Ok(self.remote(target)?.catalog.forget(name)?)
    }

    pub(super) fn remote(&self, target: &str) -> Result<&Arc<Remote>, Error> {
        let mut remotes = self.remotes.iter();
        let found = remotes.find(|remote| *remote.name == *target);
        found.ok_or_else(|| Error::NoTarget(target.to_owned()))
    }
}
