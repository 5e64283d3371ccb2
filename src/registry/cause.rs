//! Finds in an error's chain what a person can act on.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use super::Error;
use super::fault::Again;
use super::fault::Fault;
use super::guard::Forbidden;

/// A connection was not made in time.
#[derive(Debug, thiserror::Error)]
#[error("no connection within {0:?}")]
pub(super) struct ConnectTimeout(pub(super) Duration);

/// Why a request to `host` got no answer's header.
pub(super) fn of_request(host: &str, error: &hyper_util::client::legacy::Error) -> Fault {
    if !error.is_connect() {
        let text = format!("broke the connection to {host}: {}", last(error));
        return Fault::passing(Error::Unreachable(text));
    }
    let unreachable =
        |why: String| Error::Unreachable(format!("can't be reached at {host}: {why}"));
    for cause in Chain(Some(error)) {
        if let Some(ConnectTimeout(limit)) = cause.downcast_ref() {
            let text = format!("no connection to {host} within {limit:?}");
            return Fault {
                error: Error::TimedOut(text),
                again: Again::Once,
            };
        }
        if let Some(forbidden) = cause.downcast_ref::<Forbidden>() {
            return Fault::wrong(forbidden.to_string());
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return of_tls(tls, unreachable);
        }
    }
    if Chain(Some(error)).any(|cause| cause.to_string() == "dns error") {
        let why = format!("its name does not resolve ({})", last(error));
        return Fault::passing(unreachable(why));
    }
    let io = Chain(Some(error)).find_map(|cause| cause.downcast_ref::<io::Error>());
    match io.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => Fault::passing(unreachable(
            "connection refused, nothing listens there".into(),
        )),
        Some(io::ErrorKind::TimedOut) => Fault {
            error: Error::TimedOut(format!("no connection to {host}")),
            again: Again::Once,
        },
        Some(io::ErrorKind::UnexpectedEof) => Fault::passing(unreachable(
            "it closed the connection before a TLS handshake was done".into(),
        )),
        _ => Fault::passing(unreachable(last(error))),
    }
}

fn of_tls(error: &rustls::Error, unreachable: impl Fn(String) -> Error) -> Fault {
    use rustls::CertificateError::UnknownIssuer;
    use rustls::Error::{InvalidCertificate, InvalidMessage};
    match error {
        InvalidCertificate(UnknownIssuer) => Fault::lasting(unreachable(
            "its TLS certificate is of an authority that is not trusted here; \
             name the authority's file as `ca`"
                .into(),
        )),
        InvalidCertificate(why) => {
            Fault::lasting(unreachable(format!("its TLS certificate is bad: {why}")))
        }
        InvalidMessage(_) => Fault::lasting(unreachable(
            "it does not speak TLS; is it plain HTTP?".into(),
        )),
        other => Fault::passing(unreachable(format!("TLS failed: {other}"))),
    }
}

/// Why a body from `host` broke off.
pub(super) fn of_body(host: &str, error: &hyper::Error) -> Error {
    Error::Unreachable(format!("broke off a body from {host}: {}", last(error)))
}

/// What the innermost error says.
fn last(error: &(dyn StdError + 'static)) -> String {
    Chain(Some(error))
        .last()
        .map_or_else(String::new, ToString::to_string)
}

/// An error and all that caused it. What an `io::Error` wraps is one of them, which
/// `Error::source` leaves out.
struct Chain<'a>(Option<&'a (dyn StdError + 'static)>);

impl<'a> Iterator for Chain<'a> {
    type Item = &'a (dyn StdError + 'static);

    fn next(&mut self) -> Option<Self::Item> {
        let error = self.0?;
        self.0 = match error.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
        Some(error)
    }
}
