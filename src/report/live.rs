use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use super::Summary;
use crate::ledger::Connection;
use crate::ledger::Receipt;
use crate::ledger::Record;
use crate::ledger::Sink;

/// A summary that grows while traffic flows. Its lock is held for the moment of an addition.
#[derive(Debug, Default)]
pub struct Live(Mutex<Summary>);

impl Live {
    /// Adds a record that is neither an exchange nor a connection, such as a command's end.
    pub fn note(&self, record: &Record) {
        self.summary_so_far().add(record);
    }

    /// What is known by now.
    pub fn summary(&self) -> Summary {
        self.summary_so_far().clone()
    }

    fn summary_so_far(&self) -> MutexGuard<'_, Summary> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Live {
    fn exchange(&self, receipt: &Receipt) {
        self.summary_so_far().exchange(receipt);
    }

    fn connection(&self, connection: &Connection) {
        self.summary_so_far().connection(connection);
    }
}
