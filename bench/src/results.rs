//! Where results are kept: `<folder>/<commit>/<machine>/<corpus>/<time>/`, a new folder for each run,
//! which no other run writes to.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;

use crate::machine::Machine;
use crate::report;
use crate::report::Report;

/// A run's own folder.
#[derive(Debug)]
pub(crate) struct Results {
    folder: PathBuf,
}

/// How often a run that began in the same second may be in the way.
const TWINS: usize = 100;

impl Results {
    /// Makes the folder for a run that began when `report` says.
    ///
    /// # Errors
    /// When it can't be made.
    pub(crate) fn begin(parent: &Path, report: &Report) -> anyhow::Result<Self> {
        // Some of what is kept is written by programs that run in folders of their own.
        let above = std::path::absolute(parent)?
            .join(plain(&report.machine.commit))
            .join(machine(&report.machine))
            .join(plain(&report.corpus));
        let made = |error| format!("{} can't be made: {error}", above.display());
        std::fs::create_dir_all(&above).map_err(|error| anyhow::anyhow!(made(error)))?;
        let time = report.started.replace(':', "-");
        for twin in 1..=TWINS {
            let name = match twin {
                1 => time.clone(),
                twin => format!("{time}-{twin}"),
            };
            let folder = above.join(name);
            match std::fs::create_dir(&folder) {
                Ok(()) => return Ok(Self { folder }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => anyhow::bail!(made(error)),
            }
        }
        anyhow::bail!("{} runs began at {time}", TWINS)
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes what is known so far: as JSON, as Markdown, and as a page.
    ///
    /// # Errors
    /// When a file can't be written.
    pub(crate) fn keep(&self, report: &Report) -> anyhow::Result<()> {
        report.write(&self.folder.join(JSON))?;
        let write = |name: &str, text: String| {
            let file = self.folder.join(name);
            std::fs::write(&file, text)
                .with_context(|| format!("{} can't be written", file.display()))
        };
        write("report.md", report::markdown(report))?;
        write("report.html", report::html(report))
    }
}

/// The report that was kept as this file, or in this folder.
///
/// # Errors
/// When there is none.
pub(crate) fn find(path: &Path) -> anyhow::Result<Report> {
    match path.is_dir() {
        true => Report::read(&path.join(JSON)),
        false => Report::read(path),
    }
}

const JSON: &str = "report.json";

/// A name for the machine that its likes share: cores, processor, memory.
fn machine(machine: &Machine) -> String {
    let Machine {
        cores,
        cpu,
        memory_gib,
        ..
    } = machine;
    plain(&format!("{cores}-cores-{cpu}-{memory_gib}-gib"))
}

/// Lower case, with `-` for whatever a path had better not hold.
fn plain(name: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '.';
    let words = name.split(|letter| !allowed(letter));
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("-").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_never_writes_into_anothers_folder() {
        let parent = tempfile::tempdir().unwrap();
        let machine = Machine {
            cpu: "AMD EPYC (tm) 7/9".to_owned(),
            commit: "abc-dirty".to_owned(),
            ..Machine::default()
        };
        let report = Report::new(machine, "quick", 3);
        let first = Results::begin(parent.path(), &report).unwrap();
        let second = Results::begin(parent.path(), &report).unwrap();
        assert_ne!(first.folder(), second.folder());
        let above = "abc-dirty/0-cores-amd-epyc-tm-7-9-0-gib/quick";
        assert_eq!(first.folder().parent(), Some(&*parent.path().join(above)));
        first.keep(&report).unwrap();
        assert_eq!(find(first.folder()).unwrap().corpus, "quick");
        assert!(find(second.folder()).is_err());
    }
}
