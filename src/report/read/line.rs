use std::io;
use std::io::BufRead;
use std::io::Read as _;

/// The longest line that is read, in bytes. A record has a few hundred; a command's arguments may
/// make some more of them.
pub(super) const LONGEST: u64 = 4 << 20;

/// What the next line is.
pub(super) enum Line {
    /// The file is through.
    End,
    /// A line, with its newline or without.
    Whole {
        /// Whether the newline was there.
        ended: bool,
    },
    /// It has more than [`LONGEST`] bytes; not all of it was read.
    TooLong,
}

/// Reads the next line into `line`, without its newline.
pub(super) fn next(from: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    let read = from.take(LONGEST + 1).read_until(b'\n', line)?;
    let ended = line.pop_if(|last| *last == b'\n').is_some();
    Ok(match read as u64 {
        0 => Line::End,
        long if long > LONGEST && !ended => Line::TooLong,
        _ => Line::Whole { ended },
    })
}
