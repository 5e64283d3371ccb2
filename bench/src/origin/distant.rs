//! The origin as it is reached over a link: the same content and counts, in a network far away.

use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use fake_registry::Far;
use fake_registry::Link;

use super::Origin;

/// The origin behind a link. A drop ends its connections, then the link: what asks it is to be
/// ended before.
#[derive(Debug)]
pub(crate) struct Distant {
    /// Whom to ask over the link.
    pub(crate) addr: SocketAddr,
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    far: Far,
}

impl Origin {
    /// Makes a far network behind `link`, and listens there, too.
    ///
    /// # Errors
    /// Where there can be none; says why.
    pub(crate) fn behind(&self, link: Link) -> anyhow::Result<Distant> {
        let far = Far::new(link).with_context(|| format!("no link ({link}) can be made"))?;
        let listener = far
            .inside(|| TcpListener::bind((far.address(), 0)))?
            .context("the origin can't listen behind the link")?;
        let addr = listener.local_addr()?;
        let streams = Arc::<Mutex<Vec<TcpStream>>>::default();
        let state = Arc::clone(&self.state);
        let (accepting, known) = (listener.try_clone()?, Arc::clone(&streams));
        let thread = std::thread::spawn(move || {
            for stream in accepting.incoming() {
                let Ok((stream, copy)) = stream.and_then(|one| Ok((one.try_clone()?, one))) else {
                    return;
                };
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                known.push(copy);
                drop(known);
                let state = Arc::clone(&state);
                std::thread::spawn(move || {
                    // The copy would keep the connection.
                    let ended = stream.try_clone();
                    let _ = state.connection(stream);
                    let _ = ended.map(|stream| stream.shutdown(Shutdown::Both));
                });
            }
        });
        Ok(Distant {
            addr,
            listener,
            thread: Some(thread),
            streams,
            far,
        })
    }
}

impl Distant {
    /// The network that it is in.
    pub(crate) fn far(&self) -> &Far {
        &self.far
    }
}

impl Drop for Distant {
    fn drop(&mut self) {
        // What waits for a connection is woken by this.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in streams.drain(..) {
            // Nobody is left to wait for the rest.
            let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
