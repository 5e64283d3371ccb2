//! The governor: many background requests against a registry that answers 429 above so many requests
//! a second, or so many at once. What is used of the limit, and what is refused; how soon another
//! limit is found; and the trace of the window, as a plot.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

mod course;
mod plot;

use course::Course;
use course::Kind;
use course::Outcome;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How long each course is.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
    /// Only courses whose title has this in it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Write the trace of the last course to this SVG file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print what happened each second.
    #[arg(long)]
    trace: bool,
}

/// Runs all courses.
pub(crate) fn run(options: &Options) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    let mut page = String::from(
        "| limit | answers take | Retry-After | of the limit | after 10 s | refused | failed | found again |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let seconds = Duration::from_secs(options.seconds);
    for course in courses(seconds) {
        if !course.title().contains(&options.only) {
            continue;
        }
        eprintln!("{}", course.title());
        let outcome = runtime.block_on(course.run())?;
        let _ = writeln!(page, "{}", row(&course, &outcome));
        if options.trace {
            eprint!("{}", outcome.seconds());
        }
        if let Some(path) = &options.svg {
            std::fs::write(path, plot::svg(&course, &outcome))
                .with_context(|| format!("{} can't be written", path.display()))?;
        }
    }
    Ok(page)
}

fn courses(length: Duration) -> Vec<Course> {
    let mut all = Vec::new();
    let rates = Kind::Rate {
        per_second: 60.0,
        burst: 6.0,
    };
    for kind in [rates, Kind::AtOnce(8)] {
        for retry_after in [None, Some(1)] {
            for delay in [5, 50, 200] {
                all.push(Course {
                    kind,
                    retry_after,
                    delay: Duration::from_millis(delay),
                    length,
                    changes: Vec::new(),
                });
            }
        }
    }
    for kind in [Kind::AtOnce(16), rates] {
        for retry_after in [Some(1), None] {
            all.push(Course {
                kind,
                retry_after,
                delay: Duration::from_millis(50),
                length: length * 3 / 2,
                changes: vec![(length / 2, 0.5), (length, 2.0)],
            });
        }
    }
    all
}

fn row(course: &Course, outcome: &Outcome) -> String {
    let found: Vec<_> = outcome
        .found
        .iter()
        .map(|found| match found {
            Some(after) => format!("{:.1} s", after.as_secs_f64()),
            None => "never".to_owned(),
        })
        .collect();
    format!(
        "| {} | {} ms | {} | {:.1} % | {:.1} % | {} of {}, {:.1} % | {} | {} |",
        course.kind.title(),
        course.delay.as_millis(),
        course
            .retry_after
            .map_or("none".to_owned(), |seconds| format!("{seconds} s")),
        outcome.used * 100.0,
        outcome.used_later * 100.0,
        outcome.refused,
        outcome.let_in + outcome.refused,
        outcome.refused as f64 * 100.0 / (outcome.let_in + outcome.refused).max(1) as f64,
        outcome.failed,
        if found.is_empty() {
            "-".to_owned()
        } else {
            found.join(", ")
        },
    )
}
