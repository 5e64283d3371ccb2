use std::io::Write as _;

use serde::Serialize;

use super::exit::Failure;

/// Prints `value` to stdout, for people and programs.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value).map_err(Failure::nothing)?;
    text.push('\n');
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
