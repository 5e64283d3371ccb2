use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use super::Error;
use super::durable;
use super::error::At as _;
use super::index::Index;
use super::layout::Layout;
use super::lock::Lock;
use super::scan::Scan;
use super::shelf::Turns;
use super::walk;

/// The folder that the store lives in. Somebody may take it away while it is lived in.
#[derive(Debug)]
pub(super) struct Home {
    lock: Lock,
    /// What it is on, as `stat(2)` numbers it.
    device: u64,
    _scan: Scan,
}

impl Home {
    /// Makes the folder ready, and begins to count what is in it.
    pub(super) fn enter(
        layout: &Layout,
        index: &Arc<Index>,
        turns: &Arc<Turns>,
    ) -> Result<Self, Error> {
        let Some(lock) = Lock::take(layout)? else {
            return Err(Error::Locked {
                path: layout.root().to_path_buf(),
            });
        };
        for folder in [layout.blobs(), layout.repositories()] {
            durable::make_folders(&folder).at(&folder)?;
        }
        for (_, leftover) in walk::entries(&layout.tmp())? {
            durable::remove(&leftover).at(&leftover)?;
        }
        let device = fs::metadata(layout.root()).at(layout.root())?.dev();
        let scan = Scan::start(layout, index, turns)?;
        Ok(Self {
            lock,
            device,
            _scan: scan,
        })
    }

    /// Whether the folder is still there.
    pub(super) fn is_in_place(&self, layout: &Layout) -> bool {
        self.lock.is_in_place(layout)
    }

    /// Whether a store may be begun, or gone on with, where the folder was: there is one, or the
    /// place is on the disk that it was on. Where a volume is gone, the folder that it was mounted
    /// on is on another.
    pub(super) fn may_return(&self, layout: &Layout) -> bool {
        if Layout::existing(layout.root()).is_ok() {
            return true;
        }
        let mut places = layout.root().ancestors().map(|place| match place {
            none if none.as_os_str().is_empty() => Path::new("."),
            place => place,
        });
        let device = places.find_map(|place| fs::metadata(place).ok());
        device.is_some_and(|metadata| metadata.dev() == self.device)
    }
}
