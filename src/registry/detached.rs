use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::future::Shared;

use super::Error;

/// A value that one task of its own gets for all who wait for it. Who stops waiting changes
/// nothing for the others.
pub(super) type Detached<T> = Shared<BoxFuture<'static, Result<T, Error>>>;

/// Starts to get a value. Needs a tokio runtime.
pub(super) fn detach<T>(
    getting: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Detached<T>
where
    T: Clone + Send + Sync + 'static,
{
    let shared = getting.boxed().shared();
    tokio::spawn(shared.clone());
    shared
}
