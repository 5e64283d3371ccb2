//! `tidegate report`, as a program.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use tempfile::TempDir;

/// What it said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A folder with journals.
pub(crate) fn folder() -> TempDir {
    TempDir::new().unwrap()
}

/// Runs it in `folder`.
pub(crate) fn report<S: AsRef<OsStr>>(folder: &Path, args: &[S]) -> Said {
    report_of(folder, args, b"")
}

/// Runs it in `folder`, with `input` at its standard input.
pub(crate) fn report_of<S: AsRef<OsStr>>(folder: &Path, args: &[S], input: &[u8]) -> Said {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("report")
        .args(args)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end before it has read all.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Said {
    /// What stdout had, where it ended with 0.
    #[track_caller]
    pub(crate) fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// What stderr had, where it ended with `code`.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        self.stderr
    }
}
