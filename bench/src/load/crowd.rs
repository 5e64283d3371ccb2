//! Pulls at the same time that are broken off after a while.

use std::io::Read;
use std::io::Write;
use std::sync::Arc;
use std::sync::Barrier;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;

use super::pull::Crowd;
use super::pull::Puller;
use super::pull::blob_request;
use crate::corpus::Blob;

/// Of each client, in bytes.
const BUFFER: usize = 64 * 1024;

impl Puller {
    /// Pulls all the blobs at the same time, and breaks off after `time`, but no pull before it has
    /// got `least` bytes. What came is not looked at.
    ///
    /// # Errors
    /// When any of them fails before.
    pub(crate) fn crowd_for(
        &self,
        blobs: &[Arc<Blob>],
        time: Duration,
        least: u64,
    ) -> anyhow::Result<Crowd> {
        let barrier = Barrier::new(blobs.len() + 1);
        let pull = |blob: &Blob| -> anyhow::Result<u64> {
            let mut buffer = vec![1; BUFFER];
            barrier.wait();
            let start = Instant::now();
            let mut stream = self.connect()?;
            stream.write_all(blob_request(blob).as_bytes())?;
            let mut got = 0;
            while got < blob.size && (got < least || start.elapsed() < time) {
                let read = stream
                    .read(&mut buffer)
                    .with_context(|| format!("a pull of {} had {got} bytes, then", blob.digest))?;
                anyhow::ensure!(read > 0, "{} was cut short after {got} bytes", blob.digest);
                got += read as u64;
            }
            Ok(got)
        };
        std::thread::scope(|scope| {
            let pull = &pull;
            let clients: Vec<_> = blobs
                .iter()
                .map(|blob| scope.spawn(move || pull(blob)))
                .collect();
            barrier.wait();
            let start = Instant::now();
            let mut bytes = 0;
            for client in clients {
                let ended = client.join();
                bytes += ended.map_err(|_| anyhow::anyhow!("a client panicked"))??;
            }
            let took = start.elapsed();
            Ok(Crowd { bytes, took })
        })
    }
}
