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
use serde_json::Value;

use super::Form;
use super::MARK;
use super::Piece;
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
        Some(before) if file.form == Form::DaemonJson => merged(before, &file.text)?,
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

/// `before`, with the entries of `ours` at the head of its lists.
fn merged(before: &str, ours: &str) -> anyhow::Result<String> {
    if before.trim().is_empty() {
        return Ok(ours.to_owned());
    }
    let text = before;
    let mut before: Value =
        serde_json::from_str(text).context("it is not JSON; repair it first")?;
    let Some(object) = before.as_object_mut() else {
        bail!("it is not a JSON object; repair it first");
    };
    let ours: serde_json::Map<String, Value> = serde_json::from_str(ours)?;
    let mut changed = false;
    for (key, entries) in ours {
        let list = object
            .entry(&key)
            .or_insert_with(|| Value::Array(Vec::new()));
        let Some(list) = list.as_array_mut() else {
            bail!("its \"{key}\" is not a list; repair it first");
        };
        let ours = entries.as_array().into_iter().flatten();
        for entry in ours.filter(|entry| entry.is_string()) {
            if !list.iter().any(|there| same(there, entry)) {
                list.insert(0, entry.clone());
                changed = true;
            }
        }
    }
    Ok(if changed {
        format!("{before:#}\n")
    } else {
        text.to_owned()
    })
}

/// Whether two entries mean the same place: a slash at the end says nothing.
fn same(there: &Value, ours: &Value) -> bool {
    let bare = |value: &Value| {
        value
            .as_str()
            .map(|text| text.trim_end_matches('/').to_owned())
    };
    bare(there) == bare(ours)
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

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = r#"{"registry-mirrors": ["http://127.0.0.1:5000"]}"#;

    #[test]
    fn merging_keeps_what_others_said() {
        let before =
            r#"{"log-driver": "local", "registry-mirrors": ["https://b"], "a": {"z": 1, "b": 2}}"#;
        let after = merged(before, OURS).unwrap();
        let expected = r#"{
  "log-driver": "local",
  "registry-mirrors": [
    "http://127.0.0.1:5000",
    "https://b"
  ],
  "a": {
    "z": 1,
    "b": 2
  }
}
"#;
        assert_eq!(after, expected);
        assert_eq!(merged(&after, OURS).unwrap(), after);
    }

    #[test]
    fn merging_leaves_a_file_that_says_it_already() {
        let before = r#"{ "registry-mirrors" : ["http://127.0.0.1:5000/"] }"#;
        assert_eq!(merged(before, OURS).unwrap(), before);
        assert_eq!(merged("\n", OURS).unwrap(), OURS);
    }

    #[test]
    fn merging_refuses_what_it_does_not_understand() {
        for before in ["{", "[]", r#"{"registry-mirrors": "http://a"}"#] {
            let error = merged(before, OURS).unwrap_err().to_string();
            assert!(error.ends_with("repair it first"), "{error}");
        }
    }
}
