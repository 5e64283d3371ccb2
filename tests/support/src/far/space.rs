//! A network namespace without a name: it lives as long as something is in it, or holds its file.

use std::fs::File;
use std::io;
use std::thread;

use nix::sched::CloneFlags;

/// A network namespace.
#[derive(Debug)]
pub(super) struct Space {
    file: File,
}

impl Space {
    /// A new one, where nothing is but a loopback device that is down.
    pub(super) fn new() -> io::Result<Self> {
        let file = apart(|| {
            nix::sched::unshare(CloneFlags::CLONE_NEWNET).map_err(|error| {
                let kind = io::Error::from(error).kind();
                let text = format!("a network of its own can't be made ({error}): it takes root");
                io::Error::new(kind, text)
            })?;
            File::open("/proc/thread-self/ns/net")
        })?;
        Ok(Self { file })
    }

    /// Does `work` on a thread in it.
    pub(super) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        apart(|| {
            nix::sched::setns(&self.file, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        })
    }

    /// What keeps it.
    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

/// Does `work` on a thread of its own, and waits for it.
pub(super) fn apart<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|panic| {
            std::panic::resume_unwind(panic);
        })
    })
}
