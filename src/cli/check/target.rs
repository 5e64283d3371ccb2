use super::Finding;
use super::advice;
use crate::app;
use crate::config::Config;
use crate::ledger::FlowId;
use crate::ledger::Ledger;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Repository;
use crate::registry;
use crate::registry::Creation;
use crate::registry::Mounts;
use crate::registry::Registry;
use crate::target;

/// Whether a target answers and lets us in, and what it supports as far as that shows without
/// writing anything.
pub(super) async fn check(target: &target::Config, config: &Config) -> Result<Finding, app::Error> {
    let mut own = target.registry.clone();
    own.retries.attempts = own.retries.attempts.min(2);
    let registry = Registry::new(own, Ledger::new());
    let registry = registry.map_err(|error| {
        app::Error::Target(target::Error::Registry {
            what: target.registry.name.to_string(),
            error,
            advice: String::new(),
        })
    })?;
    let url = &target.registry.url;
    let (ok, detail, advice) = match registry.ping(FlowId::next()).await {
        Ok(()) => {
            let known = known(&registry, target, config).await;
            (true, format!("{url} answers and lets us in; {known}"), None)
        }
        Err(error) => (false, format!("{url}: {error}"), Some(advice(&error))),
    };
    Ok(Finding {
        name: target.registry.name.to_string(),
        ok,
        detail,
        advice,
    })
}

/// What the target is known to do. Whether it lets us push shows with the first push only.
async fn known(registry: &Registry, target: &target::Config, config: &Config) -> String {
    let habits = registry.habits();
    let mut known = Vec::new();
    if let Some((from, to)) = example(target, config) {
        known.push(format!("{from} becomes {to}"));
        known.extend(referrers(registry, &to).await);
    }
    known.push(match habits.mounts {
        Mounts::Any => "blobs are mounted between repositories".to_owned(),
        Mounts::Committed => "blobs of complete images are mounted between repositories".to_owned(),
        Mounts::Never => "no blobs are mounted between repositories".to_owned(),
    });
    known.extend(match habits.sparse {
        Some(true) => Some("an index may be incomplete".to_owned()),
        Some(false) => Some("an index must be complete".to_owned()),
        None => None,
    });
    if habits.creation == Creation::Ecr {
        let how = match cfg!(feature = "ecr") {
            true => "repositories are created by the ECR API",
            false => "repositories have to be there: this build can't create them by the ECR API",
        };
        known.push(how.to_owned());
    }
    known.join("; ")
}

/// A repository that goes there, and what it is called then.
fn example(target: &target::Config, config: &Config) -> Option<(Repository, Name)> {
    let mirrored = config.upstreams.iter().map(|it| &it.registry);
    let mirrored = mirrored.filter(|it| it.credentials != registry::Credentials::Passthrough);
    let names = ["library/nginx", "team/app"].into_iter();
    let all = mirrored.flat_map(|upstream| {
        let of = |name: &str| Some(Repository::new(upstream.name.clone(), name.parse().ok()?));
        names.clone().filter_map(of).collect::<Vec<_>>()
    });
    let mut taken = all.filter(|repository| target.only.passes(&repository.to_string()));
    let repository = taken.next()?;
    let name = target.place.of(&repository).ok()?;
    Some((repository, name))
}

/// Whether there is a list of referrers, where the registry tells.
async fn referrers(registry: &Registry, name: &Name) -> Option<String> {
    let nothing = Digest::of(b"");
    let list = registry.referrers(FlowId::next(), name, &nothing, "").await;
    match list {
        Ok(_) => Some("it lists referrers".to_owned()),
        // There is no such repository yet, or we may not look.
        Err(registry::Error::NotFound { code }) if code == "NAME_UNKNOWN" => None,
        Err(registry::Error::NotFound { .. }) => {
            Some("referrers get fallback tags, for it does not list them".to_owned())
        }
        Err(_) => None,
    }
}
