use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use super::Error;
use super::error::At as _;
use super::index::Index;
use super::layout::Layout;
use super::shelf;
use super::shelf::Turns;
use super::walk;

/// Counts, on a thread of its own, what was stored before the start. A drop ends it.
#[derive(Debug)]
pub(super) struct Scan {
    stop: Arc<AtomicBool>,
}

impl Scan {
    pub(super) fn start(
        layout: &Layout,
        index: &Arc<Index>,
        turns: &Arc<Turns>,
    ) -> Result<Self, Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let scan = Self {
            stop: Arc::clone(&stop),
        };
        let (layout, index, turns) = (layout.clone(), Arc::clone(index), Arc::clone(turns));
        let root = layout.root().to_path_buf();
        let count = move || {
            match all(&layout, &index, &turns, &stop) {
                Ok(()) => {}
                // What was not counted is counted when it is used.
                Err(error) => tracing::error!(%error, "the store could not be counted to its end"),
            }
            if !stop.load(Ordering::Relaxed) {
                index.complete();
                shelf::shrink(&layout, &index, &turns);
            }
        };
        thread::Builder::new()
            .name("store-scan".into())
            .spawn(count)
            .at(&root)?;
        Ok(scan)
    }
}

fn all(layout: &Layout, index: &Index, turns: &Turns, stop: &AtomicBool) -> Result<(), Error> {
    walk::blobs(layout, |digest| {
        if stop.load(Ordering::Relaxed) {
            return Ok(ControlFlow::Break(()));
        }
        let _turn = turns.of(&digest);
        if let Ok(metadata) = fs::metadata(layout.blob(&digest))
            && metadata.is_file()
        {
            index.found(digest, shelf::seen(&metadata));
        }
        Ok(ControlFlow::Continue(()))
    })
}

impl Drop for Scan {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
