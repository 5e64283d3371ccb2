//! Harbor's own API, as far as a push needs it.

use super::Error;
use super::Registry;
use super::action::Call;
use crate::ledger::Fate;
use crate::ledger::FlowId;
use crate::ledger::Reason;

impl Registry {
    /// `POST /api/v2.0/projects`: has Harbor make the project that repositories called
    /// `<project>/...` belong to.
    ///
    /// # Errors
    /// As any request's; a registry that is no Harbor has no such path.
    pub async fn harbor_project(&self, flow: FlowId, project: &str) -> Result<(), Error> {
        let mut answer = self.write(&Call::harbor_project(flow, project)).await?;
        if let Some(mut sent) = answer.body.take_sent() {
            sent.spend_all(Fate::Discarded(Reason::Control));
        }
        Ok(())
    }
}
