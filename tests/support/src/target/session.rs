//! Upload sessions, and what came of uploads and mounts.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::record::lock;
use crate::server::intake::Intake;

/// A blob that was uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The repository that it was uploaded to.
    pub repository: String,
    /// `sha256:<hex>`.
    pub digest: String,
    /// Its length, in bytes.
    pub size: u64,
}

/// A mount that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The repository that the blob is to be in.
    pub repository: String,
    /// `sha256:<hex>`.
    pub digest: String,
    /// The repository that has it; none was named: empty.
    pub from: String,
    /// Whether it was granted.
    pub accepted: bool,
}

/// All sessions that are begun and not ended, and the record of what was done.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    begun: u64,
    open: HashMap<String, Session>,
    uploads: Vec<Upload>,
    mounts: Vec<Mount>,
}

/// An upload that is not at its end.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) repository: String,
    /// What has come until now.
    pub(super) intake: Intake,
    /// How many parts have come. The next one must say this number: it is in the `Location`, of
    /// which the newest counts (distribution spec, "Pushing a blob in chunks").
    pub(super) part: u64,
    /// How many bytes the last part brought; 0 before the first.
    pub(super) last: u64,
}

impl Sessions {
    /// A new session; gives its id.
    pub(super) fn begin(&self, repository: &str, intake: Intake) -> String {
        let mut state = lock(&self.0);
        state.begun += 1;
        let id = format!("session-{}", state.begun);
        let session = Session {
            repository: repository.to_owned(),
            intake,
            part: 0,
            last: 0,
        };
        state.open.insert(id.clone(), session);
        id
    }

    pub(super) fn repository(&self, id: &str) -> Option<String> {
        self.get(id).map(|session| session.repository)
    }

    pub(super) fn intake(&self, id: &str) -> Option<Intake> {
        self.get(id).map(|session| session.intake)
    }

    pub(super) fn get(&self, id: &str) -> Option<Session> {
        lock(&self.0).open.get(id).cloned()
    }

    /// The session has so much now; gives it.
    pub(super) fn advance(&self, id: &str, intake: Intake) -> Option<Session> {
        let mut state = lock(&self.0);
        let session = state.open.get_mut(id)?;
        session.last = intake.length() - session.intake.length();
        session.intake = intake;
        session.part += 1;
        Some(session.clone())
    }

    pub(super) fn end(&self, id: &str) {
        lock(&self.0).open.remove(id);
    }

    pub(super) fn lose(&self) {
        lock(&self.0).open.clear();
    }

    pub(super) fn uploads(&self) -> Vec<Upload> {
        lock(&self.0).uploads.clone()
    }

    pub(super) fn mounts(&self) -> Vec<Mount> {
        lock(&self.0).mounts.clone()
    }

    pub(super) fn open(&self) -> usize {
        lock(&self.0).open.len()
    }

    pub(super) fn uploaded(&self, upload: Upload) {
        lock(&self.0).uploads.push(upload);
    }

    pub(super) fn mounted(&self, mount: Mount) {
        lock(&self.0).mounts.push(mount);
    }
}
