//! `tidegate report`: journals, summed up side by side.

use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::anyhow;
use clap::Args;
use clap::ValueEnum;

use super::exit::Exit;
use super::exit::Failure;
use crate::report;
use crate::report::Column;

/// Arguments of `tidegate report`.
#[derive(Args, Clone, Debug)]
pub(super) struct ReportArgs {
    /// Journals, each a column; `-` is standard input. The parts that were rotated away (FILE.1,
    /// FILE.2, ...) are read with FILE, unless one of them is named too
    #[arg(required = true, value_name = "JOURNAL")]
    journals: Vec<PathBuf>,
    /// How the report is written [default: as the name of the output file ends, else md]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Write to a file, not to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Markdown: an aligned table with the definitions below it
    Md,
    /// JSON
    Json,
    /// One page with plots, which needs nothing beside it
    #[value(alias = "htm")]
    Html,
    /// Tab-separated values, one row for each figure
    Tsv,
}

/// Runs `tidegate report`. Reading waits for disks, so a thread of its own does it.
pub(super) async fn run(args: &ReportArgs) -> Result<Exit, Failure> {
    let args = args.clone();
    tokio::task::spawn_blocking(move || args.run())
        .await
        .map_err(Failure::nothing)?
}

impl ReportArgs {
    fn run(&self) -> Result<Exit, Failure> {
        self.check()?;
        let format = self.format();
        let mut columns = Vec::new();
        let mut errors = Vec::new();
        for (journal, name) in self.journals.iter().zip(report::names(&self.journals)) {
            let files = report::read(journal, &self.journals);
            match files.and_then(|files| Column::read(&name, files, format == Format::Html)) {
                Ok(column) => columns.push(column),
                Err(error) => errors.push(error),
            }
        }
        if columns.is_empty()
            && let Some(first) = errors.pop()
        {
            errors.iter().for_each(|error| tracing::error!("{error}"));
            return Err(Failure::misused(first));
        }
        for warning in columns.iter().flat_map(|column| &column.warnings) {
            tracing::warn!("{warning}");
        }
        self.write(&format.render(&columns))?;
        for error in &errors {
            tracing::error!("{error}; the other journals are reported");
        }
        Ok(if errors.is_empty() {
            Exit::Done
        } else {
            Exit::Partly
        })
    }

    /// Refuses what can't be meant.
    fn check(&self) -> Result<(), Failure> {
        let stdins = self.journals.iter().filter(|path| path.as_os_str() == "-");
        if stdins.count() > 1 {
            let why = "standard input ('-') can be read once only; name it once";
            return Err(Failure::misused(anyhow!(why)));
        }
        let Some(output) = &self.output else {
            return Ok(());
        };
        let is_same = |journal: &&PathBuf| is_same_file(journal, output);
        match self.journals.iter().find(is_same) {
            Some(journal) => Err(Failure::misused(anyhow!(
                "{} is a journal to be read; write the report to another file",
                journal.display()
            ))),
            None => Ok(()),
        }
    }

    fn format(&self) -> Format {
        let ending = self.output.as_deref().and_then(Path::extension);
        let named =
            ending.and_then(|ending| Format::from_str(&ending.to_string_lossy(), true).ok());
        self.format.or(named).unwrap_or(Format::Md)
    }

    fn write(&self, report: &str) -> Result<(), Failure> {
        let Some(output) = &self.output else {
            return Ok(std::io::stdout().write_all(report.as_bytes())?);
        };
        std::fs::write(output, report)
            .with_context(|| format!("{} can't be written", output.display()))
            .map_err(Failure::nothing)
    }
}

impl Format {
    fn render(self, columns: &[Column]) -> String {
        match self {
            Self::Md => report::markdown(columns),
            Self::Json => report::json(columns),
            Self::Html => report::html(columns),
            Self::Tsv => report::tsv(columns),
        }
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
