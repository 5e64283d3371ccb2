use super::Asked;
use super::Listed;
use crate::flow;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::registry;

/// Tells which tags of one repository are wanted. Those that are named one by one cost nothing here.
pub(super) async fn discover(asked: Asked<'_>, repository: &Repository) {
    let Some(tags) = asked.set.tags.literal() else {
        return list(asked, repository).await;
    };
    for tag in tags {
        if !asked.tag(repository, tag.clone(), None).await {
            return;
        }
    }
}

/// Tells which of all its tags are wanted.
pub(super) async fn list(asked: Asked<'_>, repository: &Repository) {
    if let Some(tags) = all(asked, repository).await {
        let listed = tags.into_iter().map(Listed::from).collect();
        asked.listed(repository, listed).await;
    }
}

/// All its tags; `None`, and it is told why, where they can't be listed.
pub(super) async fn all(asked: Asked<'_>, repository: &Repository) -> Option<Vec<Tag>> {
    let tags = asked.flow().listed(repository, asked.cause).await;
    match tags {
        Ok(tags) => Some(tags),
        Err(error) => {
            asked
                .failed(repository.to_string(), explained(&error))
                .await;
            None
        }
    }
}

/// Why a repository's tags can't be listed, and what to do about it.
pub(super) fn explained(error: &flow::Error) -> String {
    use registry::Error::{Refused, Throttled};
    let advice = match error {
        flow::Error::NoRepository(..) => "is its name right?",
        flow::Error::Upstream {
            error: Refused { .. },
            ..
        } => {
            "are its name and the upstream's `credentials` right? Who may pull may not always list"
        }
        flow::Error::Upstream {
            error: Throttled { .. },
            ..
        } => "a `rate` for this upstream keeps below what it allows",
        _ => return error.to_string(),
    };
    format!("{error}; {advice}")
}
