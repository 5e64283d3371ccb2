use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All well.
    Done,
    /// Some of the work failed, and it was said which.
    Partly,
    /// The command line or the configuration is wrong.
    Misused,
    /// Nothing could be done.
    Nothing,
    /// As the command that was run.
    Command(u8),
}

/// Why a command ended before its end.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) error: anyhow::Error,
}

impl Failure {
    /// The command line or the configuration is wrong.
    pub(super) fn misused(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Misused,
            error: error.into(),
        }
    }

    /// Nothing could be done.
    pub(super) fn nothing(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Nothing,
            error: error.into(),
        }
    }
}

/// The error with its causes, but for those that it repeats anyway.
pub(super) fn in_full(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

impl From<crate::config::Error> for Failure {
    fn from(error: crate::config::Error) -> Self {
        Self::misused(error)
    }
}

/// Standard output is gone.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::nothing(error)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Partly => 1,
            Exit::Misused => 2,
            Exit::Nothing => 3,
            Exit::Command(code) => code,
        })
    }
}
