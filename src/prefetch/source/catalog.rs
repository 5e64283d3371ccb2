use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::PoisonError;

use futures_util::StreamExt as _;
use futures_util::stream;
use globset::Glob;

use super::Asked;
use super::repository;
use crate::flow;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::oci::UpstreamName;
use crate::registry;

/// So many repositories are asked about at a time; the registry's window may let fewer through.
const AT_ONCE: usize = 16;

/// Tells which tags are wanted of all repositories that a registry's catalog has and `pattern` fits.
pub(super) async fn discover(asked: Asked<'_>, upstream: &UpstreamName, pattern: &str) {
    let what = format!("{upstream}/{pattern}");
    let fitting = match fitting(asked, upstream, pattern).await {
        Ok(fitting) => fitting,
        Err(why) => return asked.failed(what, why).await,
    };
    let seen = Mutex::new(Seen::default());
    stream::iter(fitting)
        .for_each_concurrent(AT_ONCE, |repository| tell(asked, repository, &seen))
        .await;
    let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    if seen.has_failed {
        return;
    }
    for tag in asked.set.tags.literal().unwrap_or_default() {
        if !seen.tags.contains(tag) {
            let why = "no repository has this tag".to_owned();
            asked.failed(format!("{what}:{tag}"), why).await;
        }
    }
}

/// What there was of tags that are named one by one.
#[derive(Default)]
struct Seen {
    tags: BTreeSet<Tag>,
    has_failed: bool,
}

/// Tells of one repository. It is no failure that it has not all tags that are named one by one: its
/// list says which it has, at less than a request for each.
async fn tell(asked: Asked<'_>, repository: Repository, seen: &Mutex<Seen>) {
    let Some(named) = asked.set.tags.literal() else {
        return repository::list(asked, &repository).await;
    };
    let all = repository::all(asked, &repository).await;
    let has_failed = all.is_none();
    let mut all = all.unwrap_or_default();
    all.retain(|tag| named.contains(tag));
    {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.has_failed |= has_failed;
        seen.tags.extend(all.iter().cloned());
    }
    for tag in all {
        asked.tag(&repository, tag, None).await;
    }
}

async fn fitting(
    asked: Asked<'_>,
    upstream: &UpstreamName,
    pattern: &str,
) -> Result<Vec<Repository>, String> {
    let glob = Glob::new(pattern).map_err(|error| error.kind().to_string())?;
    let matcher = glob.compile_matcher();
    let all = asked.flow().repositories(upstream, asked.cause).await;
    let all = all.map_err(|error| explained(&error))?;
    let count = all.len();
    let fitting = all
        .into_iter()
        .filter(|name| matcher.is_match(name.as_str()));
    let fitting: Vec<_> = fitting
        .map(|name| Repository::new(upstream.clone(), name))
        .collect();
    match fitting.is_empty() {
        true => Err(format!(
            "none of the {count} repositories in its catalog fits"
        )),
        false => Ok(fitting),
    }
}

/// Why there is no catalog, and what to do about it.
fn explained(error: &flow::Error) -> String {
    use registry::Error::{Invalid, NotFound, Refused, Status, Wrong};
    let has_none = match error {
        flow::Error::Ping { error, .. } => matches!(
            error,
            NotFound { .. } | Refused { .. } | Status { .. } | Invalid { .. } | Wrong(_)
        ),
        _ => false,
    };
    match has_none {
        true => format!(
            "{error}; most public registries show no catalog: name the repositories one by one"
        ),
        false => error.to_string(),
    }
}
