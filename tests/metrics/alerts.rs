//! `deploy/alerts.yml`.

use crate::documentation::documented;
use crate::documentation::metrics_in;
use crate::prometheus::promtool;
use fake_registry::need;

const RULES: &str = include_str!("../../deploy/alerts.yml");
const TESTS: &str = include_str!("alerts.test.yml");

fn path(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_rules_are_right_and_fire_when_they_should() {
    if !need(&["promtool"]) {
        return;
    }
    let (is_well, said) = promtool(&["check", "rules", &path("deploy/alerts.yml")], "");
    assert!(is_well && said.contains("SUCCESS"), "{said}");
    let tests = path("tests/metrics/alerts.test.yml");
    let (is_well, said) = promtool(&["test", "rules", &tests], "");
    assert!(is_well && said.contains("SUCCESS"), "{said}");
}

#[test]
fn each_rule_is_seen_to_fire_and_to_be_quiet() {
    let alerts = RULES
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    for alert in alerts {
        let name = format!("alertname: {alert}\n");
        let cases: Vec<_> = TESTS.split(&name).skip(1).collect();
        let fires = |case: &&&str| case.trim_start().starts_with("exp_alerts:");
        let firing = cases.iter().filter(fires).count();
        assert!(firing >= 1 && firing < cases.len(), "{alert}: {firing}");
    }
}

#[test]
fn they_are_about_what_there_is() {
    let documented = documented();
    let exprs = RULES.split("\n        expr: ").skip(1);
    let mut names = 0;
    for expr in exprs {
        let end = ["\n        for: ", "\n        labels:"]
            .iter()
            .filter_map(|it| expr.find(it));
        for name in metrics_in(&expr[..end.min().unwrap()]) {
            assert!(documented.contains_key(&name), "{name}");
            names += 1;
        }
    }
    assert!(names > 14, "{names}");
}
