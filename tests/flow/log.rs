//! What the proxy logs, kept for tests that look for it. Tests share the log, as they share the
//! process: each looks for the digest of a content that no other test has.

use std::io;
use std::io::Write;
use std::sync::Mutex;
use std::sync::PoisonError;

use tracing_subscriber::fmt::TestWriter;

static LOG: Mutex<String> = Mutex::new(String::new());

/// Keeps all warnings from now on, and tells them beside the test that they make fail.
pub(crate) fn capture() {
    let log = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(|| Kept);
    let _ = log.with_max_level(tracing::Level::WARN).try_init();
}

/// The lines that contain `text`.
pub(crate) fn lines_with(text: &str) -> Vec<String> {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = log.lines().filter(|line| line.contains(text));
    lines.map(ToOwned::to_owned).collect()
}

struct Kept;

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        log.push_str(&String::from_utf8_lossy(bytes));
        TestWriter::new().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
