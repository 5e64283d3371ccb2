//! Pulls of whole images, as dockerd makes them: the manifest, then several layers at a time, each of
//! the downloads over a connection that it keeps.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;

use super::pull::Puller;
use crate::corpus::Blob;

/// Of each download, in bytes.
const BUFFER: usize = 256 * 1024;

impl Puller {
    /// Pulls the image `tag`, which is these blobs, so many of them at a time. The first download
    /// goes on with the manifest's connection. From the first connection's start to the last byte.
    ///
    /// # Errors
    /// When any part of it fails.
    pub(crate) fn image(
        &self,
        tag: &str,
        blobs: &[Arc<Blob>],
        at_once: usize,
    ) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let mut first = self.connect()?;
        self.manifest_over(&mut first, tag)?;
        let next = AtomicUsize::new(0);
        let mut first = Some(first);
        let download = |stream: Option<_>| -> anyhow::Result<()> {
            let mut stream = stream.map_or_else(|| self.connect(), Ok)?;
            let mut buffer = vec![0; BUFFER];
            while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let now = (buffer.as_mut_slice(), Instant::now());
                self.fetch_over(&mut stream, blob, now)
                    .with_context(|| format!("a pull of {} failed", blob.digest))?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let download = &download;
            let downloads: Vec<_> = (0..at_once)
                .map(|_| first.take())
                .map(|stream| scope.spawn(move || download(stream)))
                .collect();
            for download in downloads {
                let ended = download.join();
                ended.map_err(|_| anyhow::anyhow!("a client panicked"))??;
            }
            Ok(start.elapsed())
        })
    }
}
