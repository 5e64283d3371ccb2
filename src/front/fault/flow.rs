//! What went wrong in the flow, as a client hears it.

use std::io::ErrorKind as Kind;
use std::time::Duration;

use http::HeaderValue;
use http::StatusCode;
use http::header;

use crate::flow;
use crate::registry;
use crate::registry::Error as E;
use crate::store;

use super::Fault;

impl From<flow::Error> for Fault {
    fn from(error: flow::Error) -> Self {
        let text = error.to_string();
        match &error {
            flow::Error::UnknownUpstream(name) => Self::unknown_upstream(name),
            flow::Error::Denied(_) => Self::new(
                StatusCode::FORBIDDEN,
                "DENIED",
                format!("{text}: the upstream's allow and deny lists say so"),
            ),
            flow::Error::Passthrough(_) => Self::new(StatusCode::FORBIDDEN, "DENIED", text),
            flow::Error::NoManifest(..) => {
                Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", text)
            }
            flow::Error::NoBlob(..) => Self::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", text),
            flow::Error::NoRepository(..) => Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", text),
            flow::Error::Unsatisfiable { size } => Self::unsatisfiable(*size),
            flow::Error::Upstream { error, .. } | flow::Error::Ping { error, .. } => {
                upstream(error, text)
            }
            flow::Error::Corrupt { .. } => Self::new(
                StatusCode::BAD_GATEWAY,
                "UNAVAILABLE",
                format!("{text}; it was thrown away: ask again, or tell the upstream's owner"),
            ),
            flow::Error::Store(store::Error::Io { source, .. })
            | flow::Error::Read(source)
            | flow::Error::Write(source) => store(source.kind(), &text),
            flow::Error::Store(_) => store(Kind::Other, &text),
            flow::Error::GivenUp(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", text)
                    .with(header::RETRY_AFTER, 1)
            }
        }
    }
}

fn upstream(error: &registry::Error, text: String) -> Fault {
    let bad_gateway = |advice: &str| {
        Fault::new(
            StatusCode::BAD_GATEWAY,
            "UNAVAILABLE",
            format!("{text}; {advice}"),
        )
    };
    match error {
        E::NotFound { code } => not_found(code, text),
        E::Refused {
            challenge: Some(challenge),
            ..
        } => challenged(error, challenge, text),
        E::Refused { status: 401, .. } => Fault::new(
            StatusCode::UNAUTHORIZED,
            "UNAUTHORIZED",
            format!("{text}; check the credentials that are configured for this upstream"),
        ),
        E::Refused { .. } => Fault::new(
            StatusCode::FORBIDDEN,
            "DENIED",
            format!("{text}; ask its owner for access, or configure other credentials"),
        ),
        E::Throttled { retry_after } => {
            let fault = Fault::new(
                StatusCode::TOO_MANY_REQUESTS,
                "TOOMANYREQUESTS",
                format!("{text}; ask later, or configure credentials with a higher limit"),
            );
            match retry_after {
                Some(pause) => fault.with(header::RETRY_AFTER, whole_seconds(*pause)),
                None => fault,
            }
        }
        E::Unsatisfiable => Fault::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", text),
        // Uploads are no matter of clients.
        E::Status { .. }
        | E::Content(_)
        | E::Restart(_)
        | E::BlobUnknown(_)
        | E::Invalid { .. } => bad_gateway("ask again later"),
        E::Unreachable(_) => bad_gateway("check its url and the network, 'tidegate check' helps"),
        E::Wrong(_) => bad_gateway("check that its url is a registry's"),
        E::TimedOut(_) => Fault::new(
            StatusCode::GATEWAY_TIMEOUT,
            "UNAVAILABLE",
            format!("{text}; ask again later"),
        ),
        E::Config(_) => Fault::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "UNKNOWN",
            format!("{text}; correct the configuration of this upstream"),
        ),
    }
}

/// The upstream's challenge, for the client to answer: each header as it came.
fn challenged(error: &registry::Error, challenge: &[HeaderValue], text: String) -> Fault {
    let (status, code) = match error {
        E::Refused { status: 401, .. } => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
        _ => (StatusCode::FORBIDDEN, "DENIED"),
    };
    let message = format!("{text}; it is asked with what the client signs in with");
    let fault = Fault::new(status, code, message);
    challenge.iter().fold(fault, |fault, value| {
        fault.with(header::WWW_AUTHENTICATE, value.clone())
    })
}

fn not_found(code: &str, text: String) -> Fault {
    let code = match code {
        "BLOB_UNKNOWN" => "BLOB_UNKNOWN",
        "MANIFEST_UNKNOWN" => "MANIFEST_UNKNOWN",
        _ => "NAME_UNKNOWN",
    };
    Fault::new(StatusCode::NOT_FOUND, code, text)
}

fn store(kind: Kind, text: &str) -> Fault {
    if matches!(
        kind,
        Kind::StorageFull | Kind::QuotaExceeded | Kind::ReadOnlyFilesystem
    ) {
        let message = format!("{text}; make room on the store's disk");
        Fault::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message)
    } else {
        let message = format!("{text}; check the store's disk, 'tidegate store verify' helps");
        Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", message)
    }
}

/// For `Retry-After`: never earlier than asked for.
pub(in crate::front) fn whole_seconds(pause: Duration) -> u64 {
    let part = u64::from(pause.subsec_nanos() > 0);
    pause.as_secs().saturating_add(part).max(1)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use crate::oci::Repository;

    use super::*;

    fn repository() -> Repository {
        Repository::new("docker.io".parse().unwrap(), "a/b".parse().unwrap())
    }

    fn answer(error: flow::Error) -> (u16, &'static str) {
        let fault = Fault::from(error);
        (fault.status.as_u16(), fault.code)
    }

    #[test]
    fn what_the_upstream_said_decides_the_status() {
        let text = String::new;
        for (error, expected) in [
            (E::NotFound { code: text() }, (404, "NAME_UNKNOWN")),
            (
                E::Refused {
                    status: 401,
                    message: text(),
                    challenge: None,
                },
                (401, "UNAUTHORIZED"),
            ),
            (
                E::Refused {
                    status: 403,
                    message: text(),
                    challenge: None,
                },
                (403, "DENIED"),
            ),
            (E::Throttled { retry_after: None }, (429, "TOOMANYREQUESTS")),
            (E::Unsatisfiable, (416, "RANGE_INVALID")),
            (
                E::Status {
                    status: 500,
                    message: text(),
                },
                (502, "UNAVAILABLE"),
            ),
            (E::Unreachable(text()), (502, "UNAVAILABLE")),
            (E::Wrong(text()), (502, "UNAVAILABLE")),
            (E::TimedOut(text()), (504, "UNAVAILABLE")),
            (E::Config(text()), (500, "UNKNOWN")),
        ] {
            let repository = repository();
            let error = flow::Error::Upstream { repository, error };
            assert_eq!(answer(error.clone()), expected, "{error:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        let name = || "x".to_owned();
        for (error, expected) in [
            (flow::Error::UnknownUpstream(name()), (404, "NAME_UNKNOWN")),
            (flow::Error::Denied(repository()), (403, "DENIED")),
            (
                flow::Error::NoManifest(repository(), name()),
                (404, "MANIFEST_UNKNOWN"),
            ),
            (
                flow::Error::NoBlob(repository(), name()),
                (404, "BLOB_UNKNOWN"),
            ),
            (
                flow::Error::NoRepository(repository(), name()),
                (404, "NAME_UNKNOWN"),
            ),
            (
                flow::Error::Unsatisfiable { size: 5 },
                (416, "RANGE_INVALID"),
            ),
            (flow::Error::GivenUp("x"), (503, "UNAVAILABLE")),
        ] {
            assert_eq!(answer(error.clone()), expected, "{error:?}");
        }
    }

    #[test]
    fn a_full_disk_may_pass() {
        let io = |kind: Kind| flow::Error::Write(Arc::new(io::Error::from(kind)));
        assert_eq!(answer(io(Kind::StorageFull)), (503, "UNAVAILABLE"));
        assert_eq!(answer(io(Kind::PermissionDenied)), (500, "UNKNOWN"));
    }

    #[test]
    fn nobody_is_told_to_come_back_too_early() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_millis(2001)), 3);
        assert_eq!(whole_seconds(Duration::from_secs(30)), 30);
    }
}
