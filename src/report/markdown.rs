//! The table for people who read text: aligned, so that it needs no renderer.

use super::Column;
use super::Summary;
use super::group::CELL;
use super::group::Group;
use super::group::Slice;
use super::metric::METRICS;
use super::metric::Metric;
use super::metric::Section;
use super::value::Value;
use super::words;

/// As many hosts have a row; what the others were asked is in the last one.
const MOST_HOSTS: usize = 25;

/// The report as Markdown: the tables, and what their rows mean.
pub fn markdown(columns: &[Column]) -> String {
    let mut text = "# Report\n".to_owned();
    text += &tables(columns);
    text += "\n## What the rows mean\n\n";
    for metric in shown(columns) {
        text += &format!("- **{}**: {}.\n", metric.label, escaped(metric.about));
    }
    for group in Group::ALL {
        text += &format!("- **{}**: {}.\n", group.title(), group.about());
    }
    text += &format!("- Cells of the tables by action, host, origin and leg: {CELL}.\n");
    if columns.len() > 1 {
        text += "- In brackets: what a figure is in proportion to that of the first column.\n";
    }
    text
}

/// The tables of [`markdown`] alone, below what there is to be warned of.
pub fn tables(columns: &[Column]) -> String {
    let mut text = String::new();
    for warning in columns.iter().flat_map(|column| &column.warnings) {
        text += &format!("\n**Warning:** {}\n", escaped(&words::plain(warning)));
    }
    for column in columns {
        text += &about(column);
    }
    let shown = shown(columns);
    for section in Section::ALL {
        let rows = shown.iter().filter(|metric| metric.section == section);
        let rows: Vec<_> = rows.map(|metric| figures(metric, columns)).collect();
        text += &table(section.title(), columns, rows);
    }
    let summaries: Vec<&Summary> = columns.iter().map(|column| &column.summary).collect();
    for group in Group::ALL {
        let rows = group.rows(&summaries);
        // A single leg is all there is.
        if group != Group::Leg || rows.len() > 1 {
            text += &table(group.title(), columns, cells(rows));
        }
    }
    text
}

/// The rows for which at least one journal has a figure.
pub(super) fn shown(columns: &[Column]) -> Vec<&'static Metric> {
    let has = |metric: &&Metric| {
        let mut figures = columns.iter().map(|column| (metric.of)(&column.summary));
        // That nothing is missing, and nothing failed, needs no row.
        figures.any(|figure| match figure {
            Some(Value::Count(0)) => !matches!(metric.key, "records_dropped" | "runs_failed"),
            figure => figure.is_some(),
        })
    };
    METRICS.iter().filter(has).collect()
}

/// Which command it was, and what the column was made of.
fn about(column: &Column) -> String {
    let mut parts = Vec::new();
    if let Some((_, command)) = &column.summary.runs.first {
        let command: Vec<_> = command.iter().map(|word| words::plain(word)).collect();
        parts.push(format!("ran {}", escaped(&command.join(" "))));
    }
    if column.files > 1 {
        parts.push(format!("read from {} files", column.files));
    }
    if column.skipped > 0 {
        parts.push(format!(
            "{} records of unknown kinds skipped",
            column.skipped
        ));
    }
    if parts.is_empty() {
        return String::new();
    }
    format!("\n- {}: {}\n", escaped(&column.name), parts.join("; "))
}

fn figures(metric: &Metric, columns: &[Column]) -> Vec<String> {
    let values: Vec<Option<Value>> = columns.iter().map(|it| (metric.of)(&it.summary)).collect();
    let first = values.first().copied().flatten();
    let cell = |(at, value): (usize, &Option<Value>)| {
        let Some(value) = value else {
            return "-".to_owned();
        };
        let ratio = first
            .filter(|_| at > 0)
            .and_then(|first| value.ratio(first));
        let ratio = ratio.map_or_else(String::new, |ratio| format!(" ({})", words::digits(ratio)));
        format!("{}{ratio}", value.for_people())
    };
    let mut row = vec![metric.label.to_owned()];
    row.extend(values.iter().enumerate().map(cell));
    row
}

fn cells(rows: Vec<(String, Vec<Slice>)>) -> Vec<Vec<String>> {
    let left_out = rows.len().saturating_sub(MOST_HOSTS);
    let row = |(name, slices): (String, Vec<Slice>)| {
        let mut row = vec![escaped(&name)];
        row.extend(slices.iter().map(Slice::cell));
        row
    };
    let mut rows: Vec<_> = rows.into_iter().take(MOST_HOSTS).map(row).collect();
    if left_out > 0 {
        let last = format!("({left_out} more: see --format tsv)");
        rows.push(vec![last]);
    }
    rows
}

/// A heading and a table; nothing where there are no rows.
fn table(title: &str, columns: &[Column], mut rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut head = vec![String::new()];
    head.extend(columns.iter().map(|column| escaped(&column.name)));
    let width = |text: &String| text.chars().count();
    let width_of = |at: usize| {
        let cells = rows.iter().chain([&head]).filter_map(|row| row.get(at));
        cells.map(width).max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..head.len()).map(width_of).collect();
    let line = |cells: &[String]| {
        let mut line = "|".to_owned();
        for (at, width) in widths.iter().enumerate() {
            let cell = cells.get(at).map_or("", String::as_str);
            line += &match at {
                0 => format!(" {cell:<width$} |"),
                _ => format!(" {cell:>width$} |"),
            };
        }
        line + "\n"
    };
    let rule = |(at, width): (usize, &usize)| match at {
        0 => "-".repeat(*width),
        _ => format!("{}:", "-".repeat(width - 1)),
    };
    let rules: Vec<String> = widths.iter().enumerate().map(rule).collect();
    rows.splice(0..0, [head, rules]);
    let lines: String = rows.iter().map(|row| line(row)).collect();
    format!("\n## {title}\n\n{lines}")
}

/// `text` without what Markdown, or the HTML in it, would take for its own.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '~' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn names_are_no_markup() {
        assert_eq!(
            escaped("registry-1.docker.io:5000"),
            "registry-1.docker.io:5000"
        );
        assert_eq!(escaped("a|b`<b>[x](y)"), "a\\|b\\`&lt;b>\\[x\\](y)");
    }
}
