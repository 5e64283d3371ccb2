//! Repositories that no push makes.

use std::time::Instant;

use super::Error;
use super::errand::Work;
use crate::registry;
use crate::registry::Creation;

impl Work {
    /// Whether the repository was missing, as `error` says to what was `asked` then, and has been
    /// made: then it is worth another try.
    ///
    /// # Errors
    /// When it could not be made: what to do about it.
    pub(super) async fn created(
        &self,
        error: &registry::Error,
        asked: Instant,
    ) -> Result<bool, Error> {
        if !is_missing(error) {
            return Ok(false);
        }
        match self.registry.habits().creation {
            Creation::OnPush => Ok(false),
            Creation::Ecr => self.ecr_repository(error, asked).await,
            Creation::Unknown => self.project(error).await,
        }
    }

    /// ECR makes repositories by its own API, or on a push where the account has a template.
    async fn ecr_repository(&self, error: &registry::Error, asked: Instant) -> Result<bool, Error> {
        let remote = &self.remote;
        // No tag is called so.
        let _turn = remote.turns.take(&self.name, "the repository").await;
        match remote.ecr.create(&self.registry, &self.name, asked).await {
            Ok(()) => Ok(true),
            Err(advice) => Err(Error::Registry {
                what: self.name.to_string(),
                error: error.clone(),
                advice,
            }),
        }
    }

    /// Harbor's projects are the first components of its repositories' names.
    async fn project(&self, error: &registry::Error) -> Result<bool, Error> {
        let Some((project, _)) = self.name.as_str().split_once('/') else {
            return Ok(false);
        };
        let remote = &self.remote;
        let _turn = remote.turns.take(&self.name, "its project").await;
        match self
            .registry
            .harbor_project(self.errand.flow, project)
            .await
        {
            Ok(()) => {
                tracing::info!(target = &*remote.name, "made the project {project}");
                Ok(true)
            }
            Err(refusal) => {
                tracing::debug!("{}: no project was made: {refusal}", remote.name);
                Err(Error::Registry {
                    what: self.name.to_string(),
                    error: error.clone(),
                    advice: format!(
                        "create the repository, or the project {project}, at the target: a push \
                         does not make it there, and neither could tidegate"
                    ),
                })
            }
        }
    }
}

/// Whether a target says that there is no such repository. Harbor says so of a project in a 401.
fn is_missing(error: &registry::Error) -> bool {
    use registry::Error as E;
    match error {
        E::NotFound { code } => code == "NAME_UNKNOWN",
        E::Refused { message, .. } => message.contains("project") && message.contains("not found"),
        _ => false,
    }
}
