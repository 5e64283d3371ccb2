//! `deploy/grafana.json`.

use fake_registry::need;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::documentation::documented;
use crate::documentation::metrics_in;
use crate::figures::all_entered;
use crate::prometheus::Prometheus;
use crate::scene::Scene;

fn dashboard() -> Value {
    serde_json::from_str(include_str!("../../deploy/grafana.json")).unwrap()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    let text = value[key].as_str();
    text.unwrap_or_else(|| panic!("no text '{key}' in {value}"))
}

/// The queries, by the panel that shows them, with the variables filled in as Grafana does.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for panel in list(dashboard, "panels") {
        for target in list(panel, "targets") {
            let filled = text(target, "expr")
                .replace("$__rate_interval", "1m")
                .replace("$__range", "5m")
                .replace("$instance", ".*")
                .replace("$upstream", ".*");
            assert!(!filled.contains('$'), "{filled}");
            queries.push((text(panel, "title").to_owned(), filled));
        }
    }
    queries
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_answers_every_query_of_it() {
    if !need(&["prometheus"]) {
        return;
    }
    let mut scene = Scene::set().await;
    scene.play().await;
    all_entered(&scene).await;
    let prometheus = Prometheus::watching(scene.tidegate.admin()).await;
    let queries = queries(&dashboard());
    assert!(queries.len() > 40, "{}", queries.len());
    let mut silent = Vec::new();
    for (panel, promql) in &queries {
        match prometheus.query(promql).await {
            Ok(result) if result.is_empty() => silent.push(format!("{panel}: {promql}")),
            Ok(_) => {}
            Err(error) => panic!("{panel}: {promql}: {error}"),
        }
    }
    assert_eq!(silent, [""; 0], "nothing is shown");
    // Prometheus does refuse what is wrong.
    assert!(prometheus.query("sum(rate(x))").await.is_err());
    for variable in list(&dashboard()["templating"], "list") {
        if variable["type"] == "query" {
            let query = text(&variable["query"], "query");
            let inner = query.trim_start_matches("label_values(");
            let (metric, label) = inner.trim_end_matches(')').split_once(", ").unwrap();
            let values = format!("count by ({label}) ({metric}{{{label}!=\"\"}})");
            assert!(!prometheus.query(&values).await.unwrap().is_empty());
        }
    }
}

#[test]
fn it_shows_what_there_is_and_all_of_it() {
    let documented = documented();
    let queries = queries(&dashboard());
    let named: BTreeSet<_> = queries
        .iter()
        .flat_map(|(_, promql)| metrics_in(promql))
        .collect();
    for name in &named {
        assert!(documented.contains_key(name), "{name}");
    }
    let hidden = |name: &&String| !named.contains(*name);
    // Of use in a query by hand, or in an alert.
    let by_hand = [
        "process_start_time_seconds",
        "process_virtual_memory_bytes",
        "tidegate_front_max_connections_per_client",
        "tidegate_http_request_bytes_total",
        "tidegate_store_indexed",
        "tidegate_upstream_quota_window_seconds",
    ];
    let hidden: Vec<_> = documented.keys().filter(hidden).collect();
    assert_eq!(hidden, by_hand);
}

/// Grafana's reference, "Dashboard JSON model": what it needs to load a dashboard by import or by
/// provisioning, and to draw it.
#[test]
fn it_is_built_as_grafana_has_it() {
    let dashboard = dashboard();
    assert!(
        dashboard["id"].is_null(),
        "an id would overwrite another one"
    );
    for key in ["title", "uid", "refresh", "timezone"] {
        assert!(!text(&dashboard, key).is_empty(), "{key}");
    }
    assert!(text(&dashboard, "uid").len() <= 40);
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36);
    for key in ["from", "to"] {
        assert!(text(&dashboard["time"], key).starts_with("now"));
    }
    for key in ["annotations", "templating"] {
        assert!(dashboard[key]["list"].is_array(), "{key}");
    }
    assert!(dashboard["tags"].is_array() && dashboard["panels"].is_array());
    let mut cells = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for panel in list(&dashboard, "panels") {
        let title = text(panel, "title");
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        take_place(panel, &mut cells);
        match text(panel, "type") {
            "row" => assert!(panel["collapsed"] == false && list(panel, "panels").is_empty()),
            "timeseries" | "stat" | "gauge" => check_panel(panel),
            other => panic!("{title}: what is '{other}'?"),
        }
    }
    assert!(ids.len() > 40);
}

/// No two panels lie on each other, and none goes beyond the 24 columns.
fn take_place(panel: &Value, cells: &mut BTreeMap<(u64, u64), String>) {
    let title = text(panel, "title");
    let grid = |key: &str| panel["gridPos"][key].as_u64().unwrap();
    let (x, y, width, height) = (grid("x"), grid("y"), grid("w"), grid("h"));
    assert!(width > 0 && height > 0 && x + width <= 24, "{title}");
    for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
        let before = cells.insert(cell, title.to_owned());
        assert_eq!(before, None, "{title} lies on it");
    }
}

fn check_panel(panel: &Value) {
    let title = text(panel, "title");
    let source = serde_json::json!({"type": "prometheus", "uid": "${datasource}"});
    assert_eq!(panel["datasource"], source, "{title}");
    let defaults = &panel["fieldConfig"]["defaults"];
    assert!(!text(defaults, "unit").is_empty(), "{title}");
    assert!(panel["fieldConfig"]["overrides"].is_array(), "{title}");
    assert!(panel["options"].is_object(), "{title}");
    let steps = list(&defaults["thresholds"], "steps");
    assert!(steps[0]["value"].is_null(), "{title}: the first has none");
    let targets = list(panel, "targets");
    assert!(!targets.is_empty(), "{title}");
    let refs: BTreeSet<_> = targets.iter().map(|target| text(target, "refId")).collect();
    assert_eq!(refs.len(), targets.len(), "{title}");
    for target in targets {
        assert_eq!(target["datasource"], source, "{title}");
        assert!(target["legendFormat"].is_string(), "{title}");
    }
}

#[test]
fn its_data_source_is_a_variable() {
    let dashboard = dashboard();
    let variables = list(&dashboard["templating"], "list");
    let source = &variables[0];
    assert_eq!(source["type"], "datasource");
    assert_eq!(source["query"], "prometheus");
    let names: Vec<_> = variables.iter().map(|it| text(it, "name")).collect();
    assert_eq!(names, ["datasource", "instance", "upstream"]);
    for panel in list(&dashboard, "panels") {
        for target in list(panel, "targets") {
            let expr = text(target, "expr");
            assert!(expr.contains("$instance"), "{expr}");
        }
    }
}
