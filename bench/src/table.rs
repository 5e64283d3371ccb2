//! What was measured, as a table in Markdown that reads well on a terminal, too.

use std::fmt::Write as _;

use crate::report::Cell;
use crate::report::Line;
use crate::report::Report;

/// The whole report.
pub(crate) fn render(report: &Report) -> String {
    let mut text = String::new();
    let machine = &report.machine;
    let hashed = if report.verify { "hash" } else { "do not hash" };
    let _ = writeln!(
        text,
        "{} cores ({}), {} GiB, {}, {} at {} MB/s synced; commit {}.\n\
         Medians of {} iterations, p10 to p90 in brackets; clients {hashed} what they pull; other \
         processes took at most {:.0} % of the machine.\n",
        machine.cores,
        machine.cpu,
        machine.memory_gib,
        machine.kernel,
        machine.filesystem,
        machine.disk_mb_s,
        machine.commit,
        report.iterations,
        report.most_foreign * 100.0,
    );
    text.push_str(&lay_out(&rows(report)));
    text.push('\n');
    for (system, limits) in &report.systems {
        let version = machine.versions.get(system).map_or("", String::as_str);
        let _ = writeln!(text, "- {system}: {version}; {limits}.");
    }
    text
}

fn rows(report: &Report) -> Vec<Vec<String>> {
    let mut head = vec!["scenario".to_owned(), "unit".to_owned()];
    head.extend(report.systems.iter().map(|(system, _)| system.clone()));
    head.extend(["to nginx", "to direct", "aim"].map(str::to_owned));
    let mut rows = vec![head];
    for line in &report.rows {
        let mut row = vec![line.title.clone(), line.unit.clone()];
        row.extend(
            report
                .systems
                .iter()
                .map(|(system, _)| line.cells.get(system).map_or(String::new(), cell)),
        );
        row.extend([ratio(line, "nginx"), ratio(line, "direct"), aim(line)]);
        rows.push(row);
    }
    rows
}

fn cell(cell: &Cell) -> String {
    let Cell {
        median, p10, p90, ..
    } = cell;
    if figure(*p10) == figure(*p90) {
        return figure(*median);
    }
    format!("{} ({} - {})", figure(*median), figure(*p10), figure(*p90))
}

fn ratio(line: &Line, system: &str) -> String {
    line.ratio(system)
        .map_or(String::new(), |ratio| format!("{ratio:.2}"))
}

fn aim(line: &Line) -> String {
    match line.verdict() {
        Some((aim, true)) => format!("{aim}: met"),
        Some((aim, false)) => format!("{aim}: MISSED"),
        None => String::new(),
    }
}

/// Three digits that count.
fn figure(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
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
