//! What was measured, as tables in Markdown that read well on a terminal, too.

use std::fmt::Write as _;

use super::Cell;
use super::Line;
use super::Report;
use super::Section;
use super::headline::headline;

/// The whole report.
pub(crate) fn render(report: &Report) -> String {
    let mut text = format!("# Benchmark of {}\n\n{}\n\n", report.started, about(report));
    let aims = aims(report);
    if aims.len() > 1 {
        let _ = write!(text, "## Aims\n\n{}\n", lay_out(&aims));
    }
    for section in &report.sections {
        let Section { name, question, .. } = section;
        let setting = report.settings.get(name);
        let setting = setting.map_or_else(String::new, |text| format!("{text}\n\n"));
        let headline = headline(report, section);
        let table = lay_out(&rows(report, section));
        let _ = write!(
            text,
            "## {name}: {question}\n\n{headline}\n\n{setting}{table}\n"
        );
    }
    if !report.incomplete.is_empty() {
        text += "## Incomplete\n\nNot finished; no figure of it counts.\n\n";
        for it in &report.incomplete {
            let why = it.why.replace('\n', " ");
            let _ = writeln!(text, "- {} of {}: {why}", it.scenario, it.system);
        }
        text.push('\n');
    }
    text += "## Systems\n\n";
    for it in &report.systems {
        let _ = writeln!(text, "- {}: {}; {}.", it.name, it.version, it.limits);
    }
    for it in &report.absent {
        let _ = writeln!(text, "- {}: ABSENT: {}.", it.name, it.why);
    }
    text
}

/// On what, how often, how disturbed.
pub(super) fn about(report: &Report) -> String {
    let machine = &report.machine;
    let hashed = if report.verify { "hash" } else { "do not hash" };
    let quick = if report.quick {
        "; a quick run: smaller blobs, fewer peers"
    } else {
        ""
    };
    format!(
        "{} cores ({}), {} GiB, {}, {} at {} MB/s synced; commit {}; {}. Medians of {} \
         iterations, p10 to p90 in brackets{quick}; clients {hashed} what they pull; other \
         processes took at most {:.0} % of the machine. It took {:.0} minutes.",
        machine.cores,
        machine.cpu,
        machine.memory_gib,
        machine.kernel,
        machine.filesystem,
        machine.disk_mb_s,
        machine.commit,
        report.corpus,
        report.iterations,
        report.most_foreign * 100.0,
        report.took / 60.0,
    )
}

/// A row for each aim, below a head.
pub(super) fn aims(report: &Report) -> Vec<Vec<String>> {
    let head = ["scenario", "what", "aim", "reached", ""];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for section in &report.sections {
        let mut above = "";
        for line in &section.lines {
            let title = match line.title.strip_prefix("- ") {
                Some(detail) => format!("{above}: {detail}"),
                None => line.title.clone(),
            };
            if !line.title.starts_with("- ") {
                above = &line.title;
            }
            rows.extend(line.verdicts.iter().map(|it| {
                let met = if it.met { "met" } else { "MISSED" };
                let name = section.name.clone();
                let (aim, reached) = (it.aim.clone(), it.reached.clone());
                vec![name, title.clone(), aim, reached, met.to_owned()]
            }));
        }
    }
    rows
}

/// The section's table, below its head.
pub(super) fn rows(report: &Report, section: &Section) -> Vec<Vec<String>> {
    let columns = report.columns(section);
    let mut head = vec![String::new(), "unit".to_owned()];
    head.extend(columns.iter().map(|&system| system.to_owned()));
    let mut rows = vec![head];
    for line in &section.lines {
        let mut row = vec![line.title.clone(), line.unit.clone()];
        row.extend(columns.iter().map(|system| cell(line, system)));
        rows.push(row);
    }
    rows
}

/// A system's median, and how far it varied.
pub(super) fn cell(line: &Line, system: &str) -> String {
    let Some(Cell {
        median, p10, p90, ..
    }) = line.cells.get(system)
    else {
        return String::new();
    };
    if figure(*p10) == figure(*p90) {
        return figure(*median);
    }
    format!("{} ({} - {})", figure(*median), figure(*p10), figure(*p90))
}

/// Three digits that count.
pub(crate) fn figure(value: f64) -> String {
    match value {
        v if v >= 100.0 || v == 0.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

fn lay_out(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|at| rows.iter().map(|row| row[at].len()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if number == 0 {
            for width in &widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}
