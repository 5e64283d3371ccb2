//! Writes a recipe's files into their places: nothing of others is lost, and a second time nothing
//! changes.

use std::fs;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;

use super::Form;
use super::MARK;
use super::Piece;
use super::daemon_json;
use crate::cli::exit::Exit;
use crate::cli::exit::in_full;

enum Done {
    Written,
    Unchanged,
    /// It was there, and what it said is in this file now.
    Changed(PathBuf),
}

/// Writes what can be written, and says of each file what became of it.
pub(super) fn all(files: &[Piece], root: &Path) -> io::Result<Exit> {
    let mut out = io::stdout().lock();
    let mut refused = 0;
    for file in files {
        let path = root.join(file.path.strip_prefix("/").unwrap_or(&file.path));
        let shown = path.display();
        match one(file, &path) {
            Ok(Done::Written) => writeln!(out, "written    {shown}")?,
            Ok(Done::Unchanged) => writeln!(out, "unchanged  {shown}")?,
            Ok(Done::Changed(backup)) => {
                writeln!(out, "changed    {shown} (before: {})", backup.display())?;
            }
            Err(error) => {
                refused += 1;
                writeln!(out, "failed     {shown}")?;
                eprintln!("error: {shown}: {}", in_full(&error));
            }
        }
    }
    Ok(match refused {
        0 => Exit::Done,
        some if some < files.len() => Exit::Partly,
        _ => Exit::Nothing,
    })
}

fn one(file: &Piece, path: &Path) -> anyhow::Result<Done> {
    let before = match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).context("can't be read"),
    };
    let after = match &before {
        None => file.text.clone(),
        Some(before) if file.form == Form::DaemonJson => daemon_json::merged(before, &file.text)?,
        Some(before) if before.starts_with(MARK) || *before == file.text => file.text.clone(),
        Some(_) => bail!(
            "it is there already, and not from tidegate, so it was left as it is; move it away \
             and try again, or add this to it:\n{}",
            file.text
        ),
    };
    match before {
        Some(before) if before == after => Ok(Done::Unchanged),
        None => replace(path, &after).map(|()| Done::Written),
        Some(_) => {
            let backup = back_up(path).context("no backup could be made")?;
            replace(path, &after).map(|()| Done::Changed(backup))
        }
    }
}

/// Copies the file to the first free `<name>.bak-<n>`.
fn back_up(path: &Path) -> io::Result<PathBuf> {
    let mut number = 1;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".bak-{number}"));
        let backup = PathBuf::from(name);
        if !backup.try_exists()? {
            fs::copy(path, &backup)?;
            return Ok(backup);
        }
        number += 1;
    }
}

/// Puts `text` there all at once, behind a link where there is one, with the mode it had.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().context("it has no folder")?;
    fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
    let mode = fs::metadata(&path).map_or_else(
        |_| fs::Permissions::from_mode(0o644),
        |there| there.permissions(),
    );
    let mut file = tempfile::NamedTempFile::new_in(folder).context("can't be written")?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(mode)?;
    file.as_file().sync_all()?;
    file.persist(&path).context("can't be written")?;
    Ok(())
}
