//! Names come from whoever was talked to: none of them may become markup, a script, or a command
//! for a terminal.

use tidegate::ledger::Action;
use tidegate::ledger::Leg;
use tidegate::ledger::Origin;
use tidegate::ledger::Record;
use tidegate::ledger::Run;

use crate::command::folder;
use crate::command::report;
use crate::craft::But as _;
use crate::craft::digest;
use crate::craft::exchange;
use crate::craft::get;
use crate::craft::ms;
use crate::craft::write;
use crate::craft::zero;

/// What somebody might try.
pub(crate) const NAMES: [&str; 12] = [
    "</script><script>window.pwned = 1</script>",
    "</style><style>body { display: none }</style>",
    "\"><img src=x onerror=\"window.pwned = 1\">",
    "' onmouseover='window.pwned = 1",
    "</title></svg><iframe srcdoc='<script>parent.pwned = 1</script>'>",
    "javascript:window.pwned=1",
    "<!--",
    "]]>&lt;script&gt;&amp;",
    "a|b\nc\td\r\u{1b}]0;pwned\u{7}\u{1b}[2J",
    "\u{202e}gnp.exe\u{2066}\u{200b}",
    "$(touch pwned) `touch pwned` ${{pwned}}",
    "=cmd|' /C calc'!A0",
];

/// A journal in which each name is where a name can be.
pub(crate) fn journal() -> Vec<Record> {
    let mut records = Vec::new();
    for (number, name) in NAMES.iter().enumerate() {
        let hostile = |leg, action| {
            let bytes = 1_000_000 * (number as u64 + 1);
            get(leg, action, 1, (200, bytes)).but(|it| {
                it.ts = zero() + ms(number as u64 * 20);
                it.registry = (*name).into();
                it.host = (*name).into();
                it.repository = (*name).into();
                it.reference = if number % 2 == 0 {
                    format!("sha256:{name}")
                } else {
                    digest(1)
                }
                .into();
            })
        };
        records.push(hostile(Leg::Upstream, Action::BlobGet).record());
        let client = hostile(Leg::Client, Action::BlobGet).but(|it| {
            it.user = Some((*name).into());
            it.origin = Some(Origin::Hit);
        });
        records.push(client.record());
    }
    records.push(
        exchange(Leg::Upstream, Action::Ping)
            .but(|it| it.host = "h".repeat(100_000).into())
            .record(),
    );
    records.push(Record::Run(Run {
        ts: zero(),
        duration: ms(300),
        command: NAMES.iter().map(ToString::to_string).collect(),
        exit_code: 1,
        cpu: ms(10),
        peak_rss: 1,
    }));
    records
}

/// The name of its file.
pub(crate) const FILE: &str = "<script>pwned<\u{1b}[2J&\"'|`.jsonl";

#[test]
fn no_name_becomes_markup() {
    let folder = folder();
    write(folder.path(), "x.jsonl", &journal());
    write(folder.path(), FILE, &journal());
    let of = |format| report(folder.path(), &["x.jsonl", FILE, "--format", format]).well();
    let page = of("html");
    let markup = page.to_lowercase();
    for (tag, many) in [
        ("<script", 1),
        ("</script", 1),
        ("<style", 1),
        ("<img", 0),
        ("<iframe", 0),
    ] {
        assert_eq!(markup.matches(tag).count(), many, "{tag}");
    }
    assert!(!page.contains("<!--"));
    assert!(
        page.contains("&lt;/script&gt;&lt;script&gt;window.pwned"),
        "it is shown as it is"
    );

    let text = of("md");
    assert!(!text.contains("<script"), "{text}");
    assert!(text.contains("&lt;script>window.pwned"), "{text}");
    let tsv = of("tsv");
    for line in tsv.lines() {
        assert_eq!(line.split('\t').count(), 4, "{line}");
    }
    for (format, text) in [("md", text), ("tsv", tsv), ("html", page)] {
        let steers = |c: char| {
            (c.is_control() && !matches!(c, '\n' | '\t')) || ('\u{202a}'..='\u{202e}').contains(&c)
        };
        assert_eq!(text.chars().find(|c| steers(*c)), None, "{format}");
        assert!(text.len() < 500_000, "{format}: {} bytes", text.len());
    }
    let json: serde_json::Value = serde_json::from_str(&of("json")).unwrap();
    assert_eq!(json["journals"][0]["host"][NAMES[0]]["requests"], 1);
}

#[test]
fn no_name_steers_the_terminal_by_an_error() {
    let folder = folder();
    std::fs::write(
        folder.path().join(FILE),
        "{\"kind\":\"\u{1b}[2J\\u001b[2J\"}\n",
    )
    .unwrap();
    let said = report(folder.path(), &[FILE]).failed(2);
    assert!(!said.contains('\u{1b}'), "{said:?}");
    assert!(said.contains("\\u{1b}[2J"), "{said:?}");
}
