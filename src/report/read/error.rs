use std::io;

use crate::ledger::VERSION;

/// Why a journal can't be used. Each message names the file, and the line where there is one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be opened or read.
    #[error("{file} can't be read: {source}")]
    Unreadable {
        /// The file's name.
        file: String,
        /// The system's word.
        source: io::Error,
    },
    /// It begins with something else than a journal's header.
    #[error("{file}:1 is not the first line of a journal: {why}")]
    NotAJournal {
        /// The file's name.
        file: String,
        /// What it is instead.
        why: String,
    },
    /// What it says could mean something else than this program would read.
    #[error(
        "{file}:{line} is of version {version} of the format, and this tidegate reads up to \
         {VERSION}: use a newer one"
    )]
    Newer {
        /// The file's name.
        file: String,
        /// The line's number, from 1.
        line: u64,
        /// The format's version.
        version: u64,
    },
    /// A line is none that any tidegate has written.
    #[error("{file}:{line} is no record: {why}; remove that line to use the rest")]
    Wrong {
        /// The file's name.
        file: String,
        /// The line's number, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
}
