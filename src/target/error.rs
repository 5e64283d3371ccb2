use super::Missing;
use super::state;
use crate::oci::Digest;
use crate::oci::NameError;
use crate::oci::Repository;
use crate::registry;

/// Why a manifest is not at a target, by what can be done about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No such target is configured.
    #[error("there is no target '{0}'; `[[target]]` names them")]
    NoTarget(String),
    /// The target's configuration leaves this repository out.
    #[error("{0} is not mirrored there: the target's `only` leaves it out")]
    NotTaken(Repository),
    /// It has no place there.
    #[error("the target's `repository` makes no name of it: {0}")]
    Place(NameError),
    /// The content can't be had.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The target did not take it.
    #[error("{what}: {error}{}", tail(.advice))]
    Registry {
        /// What was not taken.
        what: String,
        /// What the target said.
        error: registry::Error,
        /// What to do about it; empty where nothing can be.
        advice: String,
    },
    /// The target is out: others have just found it so.
    #[error("the target is out: {0}")]
    Out(String),
    /// It waits for manifests that nobody has pulled.
    #[error("{why}")]
    Waits {
        /// What it waits for.
        why: String,
        /// With any of these, it is worth another try.
        lacking: Vec<Digest>,
    },
    /// What is known of targets can't be kept.
    #[error(transparent)]
    State(#[from] state::Error),
    /// The process is ending.
    #[error("given up: {0}")]
    GivenUp(&'static str),
}

fn tail(advice: &str) -> String {
    match advice {
        "" => String::new(),
        advice => format!("; {advice}"),
    }
}
