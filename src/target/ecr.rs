//! Repositories at ECR: no push makes them there, but `CreateRepository` of its API does. Only a
//! build with the cargo feature `ecr` can ask for it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Instant;

#[cfg(not(feature = "ecr"))]
use absent::Api;
#[cfg(feature = "ecr")]
use api::Api;

use super::lock;
use crate::oci::Name;
use crate::registry::Registry;

#[cfg(not(feature = "ecr"))]
mod absent;
#[cfg(feature = "ecr")]
mod api;
#[cfg(feature = "ecr")]
mod host;

/// Makes repositories at one ECR registry. Nothing is connected before the first one.
#[derive(Default)]
pub(super) struct Ecr {
    api: Api,
    /// The last request for each.
    ends: Mutex<HashMap<Name, End>>,
}

/// When a request ended, and how.
type End = (Instant, Result<(), String>);

impl Ecr {
    /// Makes the repository `name`, which was not there when the registry was `asked`. Who was told
    /// so before the last request for it ended gets that one's outcome, so that there is one request
    /// however many ask for it; one at a time may. There is nothing wrong with one that is there by
    /// now. Dropping the future may leave it made.
    ///
    /// # Errors
    /// Why it could not be made, and what to do about it.
    pub(super) async fn create(
        &self,
        registry: &Registry,
        name: &Name,
        asked: Instant,
    ) -> Result<(), String> {
        let last = lock(&self.ends).get(name).cloned();
        if let Some((_, outcome)) = last.filter(|(ended, _)| *ended >= asked) {
            return outcome;
        }
        let outcome = self.api.create(registry.config(), name).await;
        let end = (Instant::now(), outcome.clone());
        lock(&self.ends).insert(name.clone(), end);
        outcome
    }
}

impl fmt::Debug for Ecr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ecr").finish_non_exhaustive()
    }
}

/// What a person can do where tidegate can't do it.
fn by_hand(name: &Name) -> String {
    format!(
        "create it (`aws ecr create-repository --repository-name {name}`), or have ECR do so: by a \
         repository creation template of the account for \"create on push\""
    )
}
