//! The answer to a scenario's question, in one sentence.

use super::Better;
use super::OWN;
use super::Report;
use super::Section;
use super::figure;

/// One sentence of the section's first row: tidegate's figure, and what it is of the others'.
pub(super) fn headline(report: &Report, section: &Section) -> String {
    let Some(line) = section.lines.first() else {
        return "Nothing was measured.".to_owned();
    };
    let Some(own) = line.cells.get(OWN) else {
        return "Nothing was measured of tidegate.".to_owned();
    };
    let mut text = format!(
        "{}: tidegate {} {}",
        line.title,
        figure(own.median),
        line.unit
    );
    if figure(own.p10) != figure(own.p90) {
        text += &format!(" ({} - {})", figure(own.p10), figure(own.p90));
    }
    let others = report.columns(section).into_iter();
    let ratios: Vec<_> = others
        .filter(|name| *name != OWN)
        .filter_map(|name| Some(format!("{:.2} of {name}", line.ratio(name)?)))
        .collect();
    if !ratios.is_empty() {
        text += &format!(", {}", ratios.join(", "));
    }
    text += match line.better() {
        Better::Higher => "; more is better.",
        Better::Lower => "; less is better.",
    };
    if section.took > 0.0 {
        text += &format!(" Measured in {:.0} s.", section.took);
    }
    text
}
