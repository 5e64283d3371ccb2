use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

/// The files of `journal`, open, the oldest first: what was rotated away (`x.jsonl.2`,
/// `x.jsonl.1`), then `x.jsonl`. A part that is in `named` too is somebody's own wish, so then
/// `journal` is taken alone.
pub(super) fn open(journal: &Path, named: &[PathBuf]) -> io::Result<Vec<(PathBuf, File)>> {
    let newest = File::open(journal)?;
    let mut files = Vec::new();
    if newest.metadata()?.is_file() {
        let parts: Vec<PathBuf> = (1..)
            .map(|number| part(journal, number))
            .take_while(|part| part.is_file())
            .collect();
        let is_named = |part: &PathBuf| named.iter().any(|other| same(part, other));
        if !parts.iter().any(is_named) {
            for part in parts {
                files.push((part.clone(), File::open(part)?));
            }
        }
    }
    files.insert(0, (journal.to_owned(), newest));
    // The newest was opened first, so a rotation in between loses nothing; it shows one twice.
    let mut seen = Vec::new();
    let mut all = Vec::new();
    for (path, file) in files {
        let about = file.metadata()?;
        let identity = (about.dev(), about.ino());
        if !seen.contains(&identity) {
            seen.push(identity);
            all.push((path, file));
        }
    }
    all.reverse();
    Ok(all)
}

fn part(journal: &Path, number: u32) -> PathBuf {
    let mut name = journal.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn same(one: &Path, other: &Path) -> bool {
    one == other
        || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
