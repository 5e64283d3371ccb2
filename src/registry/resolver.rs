//! Names to addresses, of which only those are given that may be dialled.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use super::guard::Forbidden;
use super::guard::Guard;

/// How names are resolved.
pub(super) type Lookup =
    Arc<dyn Fn(Name) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// As the system resolves names.
pub(super) fn system() -> Lookup {
    Arc::new(|name| {
        let asked = GaiResolver::new().call(name);
        asked.map(|found| found.map(Iterator::collect)).boxed()
    })
}

/// The resolver of a connector. As what it gives is what is dialled, a name that resolves to
/// something else the next time gets around nothing.
#[derive(Clone)]
pub(super) struct Resolver {
    /// How names are resolved.
    pub(super) lookup: Lookup,
    /// Which addresses are left out; `None` where none is.
    pub(super) guard: Option<Arc<Guard>>,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (found, guard) = ((self.lookup)(name.clone()), self.guard.clone());
        async move {
            let found = found.await?;
            let Some(guard) = guard else {
                return Ok(found.into_iter());
            };
            let (mut allowed, mut refused) = (Vec::new(), None::<Forbidden>);
            for address in found {
                match guard.check(name.as_str(), address.ip()) {
                    Ok(()) => allowed.push(address),
                    Err(forbidden) => refused = Some(forbidden),
                }
            }
            match refused {
                Some(forbidden) if allowed.is_empty() => Err(forbidden.into()),
                _ => Ok(allowed.into_iter()),
            }
        }
        .boxed()
    }
}
