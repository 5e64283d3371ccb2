//! A long journal makes a page that a browser can show.

use std::io::Write as _;
use std::time::Duration;
use std::time::Instant;

use tidegate::ledger::Action;
use tidegate::ledger::Leg;
use tidegate::report::Column;
use tidegate::report::read;

use crate::command::folder;
use crate::craft::But as _;
use crate::craft::get;
use crate::craft::lines;
use crate::craft::zero;

/// `TIDEGATE_REPORT_RECORDS=1000000` measures as many, and says what was measured.
#[test]
fn a_page_stays_small_whatever_the_journal() {
    let asked = std::env::var("TIDEGATE_REPORT_RECORDS").ok();
    let many: u64 = asked.as_ref().map_or(20_000, |text| text.parse().unwrap());
    let folder = folder();
    let path = folder.path().join("long.jsonl");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    file.write_all(lines(&[]).as_bytes()).unwrap();
    for number in 0..many {
        let action =
            [Action::BlobGet, Action::BlobHead, Action::ManifestGet][(number % 3) as usize];
        let receipt = get(
            Leg::Upstream,
            action,
            number / 2,
            (200, number * 7919 % 50_000_000),
        )
        .but(|it| {
            it.ts = zero() + Duration::from_millis(number * 3);
            it.duration = Duration::from_millis(number * 31 % 4000);
            it.host = format!("registry-{}.test", number % 3000).into();
            it.repository = format!("team/app-{}", number % 977).into();
        });
        serde_json::to_writer(&mut file, &receipt.record()).unwrap();
        file.write_all(b"\n").unwrap();
    }
    file.into_inner().unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    let begin = Instant::now();
    let files = read(&path, &[]).unwrap();
    let column = Column::read("long", files, true).unwrap();
    let read_in = begin.elapsed();
    let page = tidegate::report::html(std::slice::from_ref(&column));
    let all_in = begin.elapsed();
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert!(
        page.contains("longest and largest of"),
        "it says what is left out"
    );
    assert!(tidegate::report::markdown(&[column]).contains("more: see --format tsv"));
    if asked.is_some() {
        let peak = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = peak.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        println!(
            "{many} records ({size} bytes): read in {read_in:?}, a page of {} bytes in {all_in:?}, {peak}",
            page.len()
        );
    }
}
