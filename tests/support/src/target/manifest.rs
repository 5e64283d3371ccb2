//! Manifests, which must name nothing that isn't there (distribution spec, "Pushing Manifests").

use http::HeaderName;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::header::LOCATION;
use serde_json::Value;
use serde_json::json;

use crate::digest::digest_of;
use crate::server::DOCKER_CONTENT_DIGEST;
use crate::server::answer::Answer;
use crate::server::answer::Ask;
use crate::target::Registry;
use crate::target::mount;
use crate::upstream::repositories::Manifest;

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// The longest manifest, in bytes (distribution spec, "Pushing Manifests").
const LONGEST: u64 = 4 << 20;

impl Registry {
    /// `PUT /v2/<name>/manifests/<reference>`.
    pub(super) fn put(&self, name: &str, reference: &str, ask: &Ask) -> Answer {
        if ask.body.length() > LONGEST {
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            return Answer::error(status, "MANIFEST_INVALID", "longer than 4 MiB");
        }
        let bytes = ask.body.bytes();
        let manifest = Manifest {
            digest: digest_of(&bytes),
            media_type: ask.header(&CONTENT_TYPE).unwrap_or_default().to_owned(),
            bytes,
        };
        if reference.contains(':') && reference != manifest.digest {
            let status = StatusCode::BAD_REQUEST;
            let message = format!("{} came, {reference} was promised", manifest.digest);
            return Answer::error(status, "DIGEST_INVALID", &message);
        }
        let parsed: Value = match serde_json::from_slice(&manifest.bytes) {
            Ok(parsed) => parsed,
            Err(error) => return invalid(&error.to_string()),
        };
        let said = parsed["mediaType"].as_str();
        if said.is_some_and(|said| said != manifest.media_type) {
            return invalid("mediaType and Content-Type differ");
        }
        let lacking = self.lacking(name, &manifest, &parsed);
        if !lacking.is_empty() {
            return unknown_blobs(&lacking);
        }
        let Manifest {
            digest,
            media_type,
            bytes,
        } = manifest;
        self.repositories
            .put_manifest((name, reference), &media_type, bytes);
        let answer = Answer::empty(StatusCode::CREATED)
            .with(LOCATION, &format!("/v2/{name}/manifests/{digest}"))
            .with(DOCKER_CONTENT_DIGEST, &digest);
        match parsed["subject"]["digest"].as_str() {
            Some(subject) if self.rules().referrers => answer.with(OCI_SUBJECT, subject),
            _ => answer,
        }
    }

    /// What the manifest names that its repository has not.
    fn lacking(&self, name: &str, manifest: &Manifest, parsed: &Value) -> Vec<String> {
        let children = parsed["manifests"].as_array().cloned().unwrap_or_default();
        let children = children
            .iter()
            .filter_map(|child| child["digest"].as_str().map(str::to_owned));
        let sparse = self.rules().sparse;
        let children: Vec<String> = children.filter(|_| !sparse).collect();
        let blobs = mount::blobs(manifest);
        let find = |it: &crate::upstream::repositories::Repository| {
            let blobs = blobs.iter().filter(|it_| !it.blobs.contains_key(*it_));
            let children = children
                .iter()
                .filter(|child| !it.manifests.contains_key(*child));
            blobs.chain(children).cloned().collect()
        };
        let lacking = self.repositories.read(name, find);
        lacking.unwrap_or_else(|| blobs.iter().chain(&children).cloned().collect())
    }
}

fn invalid(message: &str) -> Answer {
    Answer::error(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", message)
}

/// As CNCF Distribution says it: one error for each, with the digest as its detail.
fn unknown_blobs(lacking: &[String]) -> Answer {
    let error = |digest: &String| {
        let (code, message) = ("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry");
        json!({"code": code, "message": message, "detail": digest})
    };
    let errors: Vec<Value> = lacking.iter().map(error).collect();
    Answer::json(StatusCode::BAD_REQUEST, &json!({"errors": errors}))
}
