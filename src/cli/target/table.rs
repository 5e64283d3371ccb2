//! How targets do, for a person.

use std::io;
use std::io::Write;

use bytesize::ByteSize;
use serde_json::Value;

const HEAD: [&str; 8] = [
    "TARGET",
    "STATE",
    "OWED",
    "UNDER WAY",
    "UPLOADED",
    "MOUNTED",
    "SKIPPED",
    "CATALOG",
];

/// A line for each target, then what is owed to it.
pub(super) fn status(status: &Value, out: &mut dyn Write) -> io::Result<()> {
    let none = Vec::new();
    let targets = status["targets"].as_array().unwrap_or(&none);
    if targets.is_empty() {
        return writeln!(
            out,
            "there are no targets: the configuration has no [[target]]"
        );
    }
    let is_running = status["running"] == true;
    let mut rows = vec![HEAD.map(ToOwned::to_owned)];
    rows.extend(targets.iter().map(|target| row(target, is_running)));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; 8] = std::array::from_fn(|column| width(column).unwrap_or(0));
    for row in &rows {
        let cells = row.iter().zip(widths);
        let line: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    for target in targets {
        problems(target, out)?;
    }
    Ok(())
}

fn row(target: &Value, is_running: bool) -> [String; 8] {
    let figures = &target["figures"];
    let number = |value: &Value| value.as_u64().unwrap_or(0).to_string();
    let done = |value: &Value| {
        if is_running {
            number(value)
        } else {
            "-".to_owned()
        }
    };
    let bytes = ByteSize(figures["upload_bytes"].as_u64().unwrap_or(0));
    let uploads = match is_running {
        true => format!("{} ({bytes})", number(&figures["uploads"])),
        false => "-".to_owned(),
    };
    [
        text(&target["name"]).to_owned(),
        state(target, is_running),
        number(&target["owed"]),
        done(&target["under_way"]),
        uploads,
        done(&figures["mounts"]),
        done(&figures["known"]),
        number(&target["catalog"]["entries"]),
    ]
}

fn state(target: &Value, is_running: bool) -> String {
    match target["outage"]["since"].as_str() {
        _ if !is_running => "no proxy runs".to_owned(),
        Some(since) => format!("retrying since {}", to_the_second(since)),
        None => "up".to_owned(),
    }
}

/// Why a target is out, and what of the owed has failed, or waits.
fn problems(target: &Value, out: &mut dyn Write) -> io::Result<()> {
    let name = text(&target["name"]);
    if let Some(error) = target["outage"]["error"].as_str() {
        writeln!(out, "\n{name}: {error}")?;
    }
    let none = Vec::new();
    let errands = target["errands"].as_array().unwrap_or(&none);
    if !errands.is_empty() {
        writeln!(out, "\nowed to {name}:")?;
    }
    for errand in errands {
        writeln!(out, "  {}", owed(errand))?;
    }
    let more = target["owed"]
        .as_u64()
        .unwrap_or(0)
        .saturating_sub(errands.len() as u64);
    match more {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}

fn owed(errand: &Value) -> String {
    let repository = text(&errand["repository"]);
    let what = match errand["tag"].as_str() {
        Some(tag) => format!("{repository}:{tag}"),
        None => format!("{repository}@{}", text(&errand["digest"])),
    };
    let since = to_the_second(text(&errand["since"]));
    let mut line = format!("{what}  since {since}");
    if errand["under_way"] == true {
        line.push_str("  under way");
    }
    if let Some(error) = errand["last_error"].as_str() {
        let times = match errand["attempts"].as_u64().unwrap_or(0) {
            0 => String::new(),
            1 => "failed once: ".to_owned(),
            more => format!("failed {more} times: "),
        };
        line.push_str(&format!("  {times}{error}"));
    }
    if let Some(next) = errand["next"].as_str() {
        line.push_str(&format!("  (again at {})", to_the_second(next)));
    }
    line
}

/// What was forgotten.
pub(super) fn forgotten(forgotten: &Value, out: &mut dyn Write) -> io::Result<()> {
    let target = text(&forgotten["target"]);
    let place = match forgotten["repository"].as_str() {
        Some(repository) => format!("{repository} of {target}"),
        None => target.to_owned(),
    };
    let entries = forgotten["forgotten"].as_u64().unwrap_or(0);
    writeln!(out, "forgot {entries} entries of {place}")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// A time without its fraction.
fn to_the_second(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn printed(status: &Value) -> String {
        let mut out = Vec::new();
        super::status(status, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_for_each_and_what_is_owed() {
        let status = json!({"running": true, "targets": [
            {
                "name": "one", "owed": 2, "under_way": 1,
                "outage": {"since": "2026-11-21T18:00:00.123Z", "error": "no room"},
                "figures": {"uploads": 3, "upload_bytes": 2048, "mounts": 4, "known": 5},
                "catalog": {"entries": 6},
                "errands": [{
                    "repository": "docker.io/a", "tag": "1", "attempts": 2,
                    "since": "2026-11-21T17:00:00Z", "last_error": "no room",
                    "next": "2026-11-21T18:05:00.5Z",
                }],
            },
            {"name": "longer-name", "owed": 0, "errands": []},
        ]});
        assert_eq!(
            printed(&status),
            "TARGET       STATE                                OWED  UNDER WAY  UPLOADED     \
             MOUNTED  SKIPPED  CATALOG\n\
             one          retrying since 2026-11-21T18:00:00Z  2     1          3 (2.0 KiB)  \
             4        5        6\n\
             longer-name  up                                   0     0          0 (0 B)      \
             0        0        0\n\
             \n\
             one: no room\n\
             \n\
             owed to one:\n  \
             docker.io/a:1  since 2026-11-21T17:00:00Z  failed 2 times: no room  \
             (again at 2026-11-21T18:05:00Z)\n  \
             and 1 more\n"
        );
        let none = json!({"running": false, "targets": []});
        assert!(printed(&none).contains("no [[target]]"));
    }
}
