use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use http::Uri;

/// How long it took to connect to hosts that speak HTTP/2.
///
/// An HTTP/2 connection's windows are set when it is made: what is sent ahead of a body's reader is
/// memory where it comes faster than it is taken, which it does from nearby, and speed where it takes
/// long to come. So those nearby have small ones and all others large ones; until it is known where a
/// host is, it is far.
#[derive(Debug, Default)]
pub(super) struct Distances(Mutex<HashMap<String, Duration>>);

/// A host to which TCP and TLS, which are two round trips, took less is nearby.
const NEAR: Duration = Duration::from_millis(20);
/// As many hosts are remembered; of others it is never known.
const MOST: usize = 1000;

impl Distances {
    /// A connection was made to the host of `uri`, and took so long, TLS included.
    pub(super) fn note(&self, uri: &Uri, took: Duration) {
        let mut all = self.all();
        let Some(host) = host(uri) else { return };
        if let Some(least) = all.get_mut(host) {
            *least = took.min(*least);
        } else if all.len() < MOST {
            all.insert(host.to_owned(), took);
        }
    }

    /// Whether the host of `uri` is known to be nearby.
    pub(super) fn is_near(&self, uri: &Uri) -> bool {
        let all = self.all();
        let known = host(uri).and_then(|host| all.get(host));
        known.is_some_and(|took| *took < NEAR)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// With its port: another one may be forwarded to elsewhere.
fn host(uri: &Uri) -> Option<&str> {
    uri.authority().map(http::uri::Authority::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_time_tells_how_far_a_host_is() {
        let distances = Distances::default();
        let [here, there] = ["https://a.test:1/v2/", "https://a.test/"].map(Uri::from_static);
        assert!(!distances.is_near(&here), "it is not known");
        distances.note(&here, NEAR * 3);
        assert!(!distances.is_near(&here));
        distances.note(&here, NEAR / 4);
        distances.note(&here, NEAR * 2);
        assert!(distances.is_near(&here) && !distances.is_near(&there));
    }
}
