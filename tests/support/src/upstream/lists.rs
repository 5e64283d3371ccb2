//! Tag lists, the catalog and referrers.

use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::header::LINK;
use serde_json::Value;
use serde_json::json;

use crate::server::answer::Answer;
use crate::server::answer::Ask;
use crate::upstream::pull::unknown_name;
use crate::upstream::repositories::Manifest;
use crate::upstream::repositories::Repositories;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The tags in order, in pages of `n` after `last` (distribution spec, "Listing Tags").
pub(crate) fn tags(all: &Repositories, name: &str, ask: &Ask) -> Answer {
    let Some(tags) = all.read(name, |repository| repository.tags.keys().cloned().collect()) else {
        return unknown_name(name);
    };
    page(
        tags,
        &format!("/v2/{name}/tags/list"),
        ask,
        |tags| json!({"name": name, "tags": tags}),
    )
}

/// The repositories in order, in pages as of tags.
pub(crate) fn catalog(all: &Repositories, ask: &Ask) -> Answer {
    page(
        all.names(),
        "/v2/_catalog",
        ask,
        |names| json!({"repositories": names}),
    )
}

fn page(
    mut names: Vec<String>,
    path: &str,
    ask: &Ask,
    body: impl FnOnce(&[String]) -> Value,
) -> Answer {
    let last = ask.query("last").unwrap_or_default();
    names.retain(|name| *name > last);
    let Some(n) = ask.query("n") else {
        return Answer::json(StatusCode::OK, &body(&names));
    };
    let Ok(n) = n.parse::<usize>() else {
        let message = "invalid number of results requested";
        return Answer::error(
            StatusCode::BAD_REQUEST,
            "PAGINATION_NUMBER_INVALID",
            message,
        );
    };
    let more = n > 0 && names.len() > n;
    names.truncate(n);
    let answer = Answer::json(StatusCode::OK, &body(&names));
    match names.last() {
        Some(last) if more => {
            answer.with(LINK, &format!("<{path}?last={last}&n={n}>; rel=\"next\""))
        }
        _ => answer,
    }
}

/// The manifests whose subject is `digest`, filtered by `artifactType` (distribution spec,
/// "Listing Referrers"). An empty index where there are none.
pub(crate) fn referrers(all: &Repositories, name: &str, digest: &str, ask: &Ask) -> Answer {
    let filter = ask.query("artifactType");
    let listed = all.read(name, |repository| {
        let described = repository
            .manifests
            .values()
            .filter_map(|it| describe(it, digest));
        described
            .filter(|it| {
                filter
                    .as_ref()
                    .is_none_or(|wanted| it["artifactType"] == wanted.as_str())
            })
            .collect::<Vec<Value>>()
    });
    let manifests = listed.unwrap_or_default();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let answer = Answer::json(StatusCode::OK, &index).with(CONTENT_TYPE, INDEX);
    if filter.is_some() {
        return answer.with(super::OCI_FILTERS_APPLIED, "artifactType");
    }
    answer
}

/// The descriptor of `manifest`, where `subject` is its subject.
fn describe(manifest: &Manifest, subject: &str) -> Option<Value> {
    let parsed: Value = serde_json::from_slice(&manifest.bytes).ok()?;
    if parsed["subject"]["digest"] != subject {
        return None;
    }
    let artifact_type = match &parsed["artifactType"] {
        Value::Null => &parsed["config"]["mediaType"],
        given => given,
    };
    let mut descriptor = json!({
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": manifest.bytes.len(),
        "artifactType": artifact_type,
    });
    if parsed["annotations"].is_object() {
        descriptor["annotations"] = parsed["annotations"].clone();
    }
    Some(descriptor)
}
