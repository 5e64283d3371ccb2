//! `docs/metrics.md` lists what there is, and nothing else.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::figures::all_entered;
use crate::page::Page;
use crate::scene::Scene;

const PAGE: &str = include_str!("../../docs/metrics.md");

/// What the page says of a metric: its type and its labels.
type Documented = (String, BTreeSet<String>);

/// The rows `| name | type | labels | meaning |`.
pub(crate) fn documented() -> BTreeMap<String, Documented> {
    let rows = PAGE.lines().filter_map(|line| {
        let cells: Vec<_> = line
            .strip_prefix("| `")?
            .split('|')
            .map(str::trim)
            .collect();
        let [name, kind, labels, meaning, ""] = cells[..] else {
            return None;
        };
        assert!(!meaning.is_empty(), "{line}");
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.trim_matches('`').to_owned());
        let name = name.trim_end_matches('`').to_owned();
        Some((name, (kind.to_owned(), labels.collect())))
    });
    let rows: Vec<_> = rows.collect();
    let all: BTreeMap<_, _> = rows.iter().cloned().collect();
    assert_eq!(all.len(), rows.len(), "a metric is there twice");
    all
}

/// The metrics that `promql` names, without the suffixes of histograms.
pub(crate) fn metrics_in(promql: &str) -> BTreeSet<String> {
    let words = promql.split(|c: char| c != '_' && !c.is_ascii_alphanumeric());
    let is_ours = |word: &&str| word.starts_with("tidegate_") || word.starts_with("process_");
    let stem = |word: &str| {
        let suffixes = ["_bucket", "_sum", "_count"];
        let stem = suffixes.iter().find_map(|it| word.strip_suffix(it));
        stem.unwrap_or(word).to_owned()
    };
    words.filter(is_ours).map(stem).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_lists_what_there_is() {
    let mut scene = Scene::set().await;
    scene.play().await;
    all_entered(&scene).await;
    let is_so = |page: &Page| page.sum("tidegate_connections_total", &[]) > 0.0;
    let page = scene.until(is_so).await;
    let shown = page.families.into_iter().map(|(name, family)| {
        assert!(family.help.ends_with('.'), "{name}: {}", family.help);
        (name, (family.kind, family.labels))
    });
    let shown: BTreeMap<String, Documented> = shown.collect();
    assert_eq!(shown, documented());
}

#[test]
fn the_examples_on_the_page_name_what_there_is() {
    let documented = documented();
    for name in metrics_in(PAGE) {
        assert!(documented.contains_key(&name), "{name}");
    }
}

#[test]
fn the_page_names_the_alerts() {
    let rules = include_str!("../../deploy/alerts.yml");
    let alerts = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let alerts: Vec<_> = alerts.collect();
    assert!(alerts.len() > 10);
    let ours = ["TidegateUpstreamPaused"];
    for alert in alerts.iter().filter(|alert| !ours.contains(alert)) {
        assert!(PAGE.contains(&format!("`{alert}`")), "{alert}");
    }
}
