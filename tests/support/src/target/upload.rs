//! Uploads of blobs, in one request or in several (distribution spec, "Pushing blobs").

use http::HeaderName;
use http::Method;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use http::header::CONTENT_RANGE;
use http::header::LOCATION;
use http::header::RANGE;

use crate::server::DOCKER_CONTENT_DIGEST;
use crate::server::answer::Answer;
use crate::server::answer::Ask;
use crate::server::intake::Intake;
use crate::target::Registry;
use crate::target::route::ELSEWHERE;
use crate::target::session::Session;
use crate::target::session::Upload;

const CHUNK_MIN: HeaderName = HeaderName::from_static("oci-chunk-min-length");
const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

impl Registry {
    /// `POST /v2/<name>/blobs/uploads/`: a mount, a whole blob, or a session.
    pub(super) fn begin(&self, name: &str, ask: &Ask) -> Answer {
        if let Some(digest) = ask.query("mount")
            && self.mount(name, &digest, ask.query("from").as_deref())
        {
            return created(name, &digest);
        }
        if let Some(digest) = ask.query("digest") {
            let limit = self.rules().put_limit;
            return over(limit, ask.body.length())
                .unwrap_or_else(|| self.finish(name, &digest, &ask.body));
        }
        let id = self.sessions.begin(name, self.rules().intake());
        self.accepted(&id, ask, StatusCode::ACCEPTED)
    }

    /// Everything that is asked of a session.
    pub(super) fn session(&self, id: &str, ask: &Ask) -> Answer {
        let Some(session) = self.sessions.get(id) else {
            return unknown();
        };
        if ask.query("part") != Some(session.part.to_string()) {
            let message = "this is not the newest Location of the upload";
            return Answer::error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", message);
        }
        match ask.method {
            Method::GET => self.accepted(id, ask, StatusCode::NO_CONTENT),
            Method::DELETE => {
                self.sessions.end(id);
                Answer::empty(StatusCode::NO_CONTENT)
            }
            Method::PATCH if self.rules().patch => self.patch(id, &session, ask),
            Method::PUT => self.close(id, &session, ask),
            _ => {
                let code = StatusCode::METHOD_NOT_ALLOWED;
                Answer::error(code, "UNSUPPORTED", "the operation is unsupported")
            }
        }
    }

    fn patch(&self, id: &str, session: &Session, ask: &Ask) -> Answer {
        let (had, has) = (session.intake.length(), ask.body.length());
        let rules = self.rules();
        if let Some(refusal) = over(rules.patch_limit, has - had) {
            return refusal;
        }
        // All but the last chunk have to be that long: an earlier one was too short.
        let short = rules
            .chunk_min
            .is_some_and(|min| session.part > 0 && session.last < min);
        if out_of_order(ask, had, has) || short {
            return self.accepted(id, ask, StatusCode::RANGE_NOT_SATISFIABLE);
        }
        self.sessions.advance(id, ask.body.clone());
        self.accepted(id, ask, StatusCode::ACCEPTED)
    }

    fn close(&self, id: &str, session: &Session, ask: &Ask) -> Answer {
        let (had, has) = (session.intake.length(), ask.body.length());
        if let Some(refusal) = over(self.rules().put_limit, has - had) {
            return refusal;
        }
        if out_of_order(ask, had, has) {
            return self.accepted(id, ask, StatusCode::RANGE_NOT_SATISFIABLE);
        }
        let Some(digest) = ask.query("digest") else {
            return invalid("the digest is missing");
        };
        self.sessions.end(id);
        self.finish(&session.repository, &digest, &ask.body)
    }

    fn finish(&self, name: &str, digest: &str, body: &Intake) -> Answer {
        let is = body.digest();
        if is != digest {
            return invalid(&format!("{is} came, {digest} was promised"));
        }
        let content = body.content();
        self.repositories
            .write(name, |it| it.blobs.insert(digest.to_owned(), content));
        self.sessions.uploaded(Upload {
            repository: name.to_owned(),
            digest: digest.to_owned(),
            size: body.length(),
        });
        created(name, digest)
    }

    /// The answer of a session that goes on: where, and how far it is.
    fn accepted(&self, id: &str, ask: &Ask, status: StatusCode) -> Answer {
        let Some(session) = self.sessions.get(id) else {
            return unknown();
        };
        let rules = self.rules();
        let name = &session.repository;
        let path = if rules.elsewhere {
            format!("{ELSEWHERE}{id}")
        } else {
            format!("/v2/{name}/blobs/uploads/{id}")
        };
        let base = if rules.relative {
            String::new()
        } else {
            ask.base.clone()
        };
        let place = format!("{base}{path}?part={}", session.part);
        let last = session.intake.length().saturating_sub(1);
        let mut answer = Answer::empty(status)
            .with(LOCATION, &place)
            .with(RANGE, &format!("0-{last}"))
            .with(UPLOAD_ID, id);
        if let Some(min) = rules.chunk_min {
            answer = answer.with(CHUNK_MIN, &min.to_string());
        }
        answer
    }
}

/// Whether `Content-Range` or `Content-Length` says otherwise than what has come.
fn out_of_order(ask: &Ask, had: u64, has: u64) -> bool {
    let length = ask.header(&CONTENT_LENGTH).and_then(|it| it.parse().ok());
    if length.is_some_and(|length: u64| length != has - had) {
        return true;
    }
    let Some(range) = ask.header(&CONTENT_RANGE) else {
        return false;
    };
    let range = range.strip_prefix("bytes ").unwrap_or(range);
    range != format!("{had}-{}", has.saturating_sub(1))
}

fn over(limit: Option<u64>, bytes: u64) -> Option<Answer> {
    let limit = limit.filter(|limit| bytes > *limit)?;
    let message = format!("{bytes} bytes at once, where {limit} are allowed");
    let status = StatusCode::PAYLOAD_TOO_LARGE;
    Some(Answer::error(status, "SIZE_INVALID", &message))
}

fn created(name: &str, digest: &str) -> Answer {
    Answer::empty(StatusCode::CREATED)
        .with(LOCATION, &format!("/v2/{name}/blobs/{digest}"))
        .with(DOCKER_CONTENT_DIGEST, digest)
}

fn invalid(message: &str) -> Answer {
    Answer::error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
}

fn unknown() -> Answer {
    let message = "blob upload unknown to registry";
    Answer::error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", message)
}
