//! How targets do, and what may be done about it.

use bytes::Bytes;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header;
use http_body_util::Full;
use serde_json::json;

use super::Readiness;
use super::answer::JSON;
use super::answer::TEXT;
use super::answer::respond;
use crate::oci::Name;
use crate::target;

/// The target of `/api/v1/targets/<name>/forget`.
pub(super) fn forgetting(path: &str) -> Option<&str> {
    let name = path
        .strip_prefix("/api/v1/targets/")?
        .strip_suffix("/forget")?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// `GET /api/v1/targets`.
pub(super) fn list(readiness: &Readiness) -> Response<Full<Bytes>> {
    let body = json!({ "targets": readiness.target_states() });
    respond(StatusCode::OK, JSON, body.to_string())
}

/// `POST /api/v1/targets/<name>/forget[?repository=<repository>]`.
pub(super) async fn forget<B>(
    readiness: &Readiness,
    target: &str,
    request: &Request<B>,
) -> Response<Full<Bytes>> {
    // A page in somebody's browser can send a form to wherever that somebody is let in.
    if request.headers().contains_key(header::ORIGIN) {
        let text = "this is not for pages of a browser\n";
        return respond(StatusCode::FORBIDDEN, TEXT, text);
    }
    let name = match repository(request.uri().query().unwrap_or_default()) {
        Ok(name) => name,
        Err(problem) => return respond(StatusCode::BAD_REQUEST, TEXT, format!("{problem}\n")),
    };
    let Some(targets) = readiness.targets().cloned() else {
        let text = "there are no targets: the configuration has no [[target]]\n";
        return respond(StatusCode::NOT_FOUND, TEXT, text);
    };
    let (asked, of) = (target.to_owned(), name.clone());
    let forgotten = tokio::task::spawn_blocking(move || targets.forget(&asked, of.as_ref()));
    match forgotten.await {
        Ok(Ok(forgotten)) => {
            let repository = name.as_ref().map(Name::as_str);
            let body = json!({"target": target, "repository": repository, "forgotten": forgotten});
            respond(StatusCode::OK, JSON, body.to_string())
        }
        Ok(Err(error @ target::Error::NoTarget(_))) => {
            respond(StatusCode::NOT_FOUND, TEXT, format!("{error}\n"))
        }
        Ok(Err(error)) => failed(&error.to_string()),
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(problem: &str) -> Response<Full<Bytes>> {
    let text = format!("{problem}\n");
    respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, text)
}

/// The repository that a query names; `None` for all.
fn repository(query: &str) -> Result<Option<Name>, String> {
    let mut repository = None;
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if key != "repository" {
            return Err(format!("there is no parameter '{key}'; it is 'repository'"));
        }
        repository = Some(value.parse().map_err(|error| format!("{error}"))?);
    }
    Ok(repository)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_is_named() {
        assert_eq!(forgetting("/api/v1/targets/a.b/forget"), Some("a.b"));
        for path in [
            "/api/v1/targets",
            "/api/v1/targets//forget",
            "/api/v1/targets/forget",
            "/api/v1/targets/a/b/forget",
        ] {
            assert_eq!(forgetting(path), None, "{path}");
        }
        let name = repository("repository=a%2Fb").unwrap().unwrap();
        assert_eq!(name.as_str(), "a/b");
        assert_eq!(repository(""), Ok(None));
        // What is misspelt is not taken for all.
        assert!(repository("repositry=a").is_err());
        assert!(repository("repository=").is_err());
    }
}
