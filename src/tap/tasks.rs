//! All that a tool's connection needs runs in one task: what it asks of origins, and each of its
//! streams. So nothing outlives it, and bytes are handed on without a change of thread.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use hyper::rt::Executor;
use tokio::sync::mpsc;

/// Takes futures that are to run beside the connection.
#[derive(Clone, Debug)]
pub(super) struct Tasks(mpsc::UnboundedSender<BoxFuture<'static, ()>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        // Where nobody takes it, the connection is gone.
        let _ = self.0.send(Box::pin(future));
    }
}

/// Runs them.
pub(super) struct Crew {
    tasks: Tasks,
    new: mpsc::UnboundedReceiver<BoxFuture<'static, ()>>,
    running: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Crew {
    pub(super) fn new() -> Self {
        let (sender, new) = mpsc::unbounded_channel();
        Self {
            tasks: Tasks(sender),
            new,
            running: FuturesUnordered::new(),
        }
    }

    pub(super) fn tasks(&self) -> Tasks {
        self.tasks.clone()
    }

    /// Runs `main` to its end, and all else as long.
    pub(super) async fn run<T>(&mut self, main: impl Future<Output = T>) -> T {
        let mut main = pin!(main);
        loop {
            tokio::select! {
                biased;
                done = &mut main => return done,
                Some(task) = self.new.recv() => self.running.push(task),
                Some(()) = self.running.next() => {}
            }
        }
    }

    /// Lets what still runs end, for `limit` at most.
    pub(super) async fn finish(mut self, limit: Duration) {
        let end = async {
            loop {
                while let Ok(task) = self.new.try_recv() {
                    self.running.push(task);
                }
                if self.running.next().await.is_none() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(limit, end).await;
    }
}
