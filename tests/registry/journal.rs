//! What was logged, by all tests of this process.

use std::io;
use std::io::Write;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::Once;
use std::sync::PoisonError;

static LOGGED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// A handle on it, to write to.
struct Journal;

impl Write for Journal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        bytes_logged().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn bytes_logged() -> MutexGuard<'static, Vec<u8>> {
    LOGGED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts it, for all threads, as tracing asks whichever thread comes first whether a line is
/// wanted.
pub(crate) fn begin() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .with_env_filter("tidegate=trace")
            .with_ansi(false)
            .with_writer(|| Journal)
            .init();
    });
}

/// All lines until now that have each of `parts`.
pub(crate) fn lines_with(parts: &[&str]) -> Vec<String> {
    let text = String::from_utf8(bytes_logged().clone()).unwrap();
    let lines = text.lines();
    let lines = lines.filter(|line| parts.iter().all(|part| line.contains(part)));
    lines.map(ToOwned::to_owned).collect()
}
