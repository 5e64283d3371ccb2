//! The page in a real browser: it renders, says nothing to the console, loads nothing, and has
//! plots with shapes in them. `TIDEGATE_PICTURES=folder` keeps the pages, and the pictures that are taken.

use fake_registry::need;
use std::path::Path;
use std::path::PathBuf;

use tempfile::TempDir;
use tidegate::ledger::Record;

use crate::browser::Browser;
use crate::command::folder;
use crate::command::report;
use crate::craft::write;
use crate::hostile;
use crate::realistic::Tool;
use crate::realistic::copied;
use crate::realistic::mirrored;

/// A page of some journals.
fn page(journals: &[(&str, Vec<Record>)]) -> (TempDir, PathBuf) {
    let folder = folder();
    let names = journals
        .iter()
        .map(|(name, records)| write(folder.path(), name, records));
    let mut args: Vec<PathBuf> = names.collect();
    let page = folder.path().join("page.html");
    args.extend(["-o".into(), page.clone()]);
    report(folder.path(), &args).well();
    (folder, page)
}

fn three_tools() -> Vec<(&'static str, Vec<Record>)> {
    let tool = |command, workers, mounts, remembers| Tool {
        command,
        workers,
        images: 30,
        mounts,
        remembers,
    };
    let skopeo = tool(
        "skopeo sync --src docker --dest docker library/app ecr",
        6,
        false,
        false,
    );
    let regsync = tool("regsync once -c sync.yml", 4, true, false);
    let tidegate = tool("tidegate sync base-images", 12, false, true);
    vec![
        ("skopeo.jsonl", copied(&skopeo, 7)),
        ("regsync.jsonl", copied(&regsync, 8)),
        ("tidegate.jsonl", copied(&tidegate, 9)),
    ]
}

fn small() -> Vec<Record> {
    let tool = Tool {
        command: "crane copy docker.io/library/app-0 ecr/app-0",
        workers: 3,
        images: 2,
        mounts: true,
        remembers: false,
    };
    copied(&tool, 3)
}

/// Takes a picture; it is more than a plain area.
fn take(browser: &mut Browser, name: &str) {
    let picture = browser.picture();
    assert!(picture.starts_with(b"\x89PNG"));
    assert!(picture.len() > 40_000, "{name}: {} bytes", picture.len());
    if let Some(folder) = std::env::var_os("TIDEGATE_PICTURES") {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), picture).unwrap();
    }
}

/// Each section's shapes that have a size, as `id:number`.
const SHAPES: &str = r"
    [...document.querySelectorAll('section')].map((section) => {
        const shapes = [...section.querySelectorAll('svg.plot rect, svg.plot path, .bars rect')];
        const sized = shapes.filter((shape) => {
            const { width, height } = shape.getBoundingClientRect();
            return width > 0 && height > 0;
        });
        return `${section.id}:${sized.length}`;
    }).join(' ')";

/// What is drawn or written beyond the edges of its plot.
const OUTSIDE: &str = r"
    [...document.querySelectorAll('svg.plot')].flatMap((plot) => {
        const edge = plot.getBoundingClientRect();
        return [...plot.querySelectorAll('rect, path, text')].filter((shape) => {
            const it = shape.getBoundingClientRect();
            return it.left < edge.left - 2 || it.right > edge.right + 2 || it.bottom > edge.bottom + 2;
        }).map((shape) => `${plot.querySelector('title').textContent}: ${shape.outerHTML}`);
    }).join('\n')";

/// Whether nothing makes the page scroll sideways.
const FITS: &str = "document.documentElement.scrollWidth <= innerWidth";

/// Pictures that don't say what they are.
const UNSAID: &str = r"
    [...document.querySelectorAll('svg.plot')].filter((plot) => {
        const of = (name) => document.getElementById(plot.getAttribute(name))?.textContent;
        return plot.getAttribute('role') !== 'img' || !of('aria-labelledby') || !of('aria-describedby');
    }).length + document.querySelectorAll('svg:not(.plot):not([aria-hidden])').length";

/// A rectangle in the plot with this id, to be pointed at.
fn point_at(browser: &mut Browser, rect: &str) -> String {
    let at = browser.eval(&format!(
        "(() => {{ const it = document.querySelector('{rect}'); it.scrollIntoView(); \
         const {{ x, y, width, height }} = it.getBoundingClientRect(); \
         return [x + width / 2, y + height / 2]; }})()"
    ));
    let moved = serde_json::json!({"type": "mouseMoved", "x": at[0], "y": at[1]});
    browser.call("Input.dispatchMouseEvent", moved);
    let tip = browser.eval("(() => { const tip = document.querySelector('.tip'); return tip.hidden ? '' : tip.textContent; })()");
    tip.as_str().unwrap().to_owned()
}

/// The number of shapes in each section, after all checks that any page must pass.
#[track_caller]
fn look(browser: &mut Browser, page: &Path, name: &str) -> Vec<(String, usize)> {
    if let Some(folder) = std::env::var_os("TIDEGATE_PICTURES") {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(page, Path::new(&folder).join(format!("{name}.html"))).unwrap();
    }
    browser.open(page);
    assert_eq!(browser.eval(OUTSIDE), "");
    assert_eq!(browser.eval(UNSAID), 0);
    assert_eq!(browser.eval(FITS), true);
    let shapes = browser.eval(SHAPES);
    let shapes = shapes.as_str().unwrap().split(' ').map(|it| {
        let (id, number) = it.split_once(':').unwrap();
        (id.to_owned(), number.parse().unwrap())
    });
    let shapes = shapes.collect();
    for scheme in ["light", "dark"] {
        browser.scheme(scheme);
        take(browser, &format!("{name}-{scheme}"));
    }
    let background = "getComputedStyle(document.body).backgroundColor";
    let dark = browser.eval(background);
    browser.eval("document.querySelector('button.theme').click()");
    assert_ne!(browser.eval(background), dark);
    // On paper it is light, and on a telephone it is as wide as that.
    browser.print(true);
    assert_eq!(browser.eval(background), "rgb(255, 255, 255)");
    take(browser, &format!("{name}-print"));
    browser.print(false);
    browser.wide(390);
    assert_eq!(browser.eval(FITS), true);
    take(browser, &format!("{name}-narrow"));
    browser.wide(1280);
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
    shapes
}

#[test]
fn one_run_three_runs_and_a_mirror_are_drawn() {
    if !need(&["chromium"]) {
        return;
    }
    let mut browser = Browser::start();
    let tools = three_tools();
    let plots = [
        "glance",
        "throughput",
        "flight",
        "timeline",
        "pressure",
        "hosts",
    ];
    for (name, journals) in [
        ("small", vec![("crane.jsonl", small())]),
        ("three", tools),
        ("mirror", vec![("mirror.jsonl", mirrored(8, 12, 5))]),
    ] {
        let (_folder, page) = page(&journals);
        let shapes = look(&mut browser, &page, name);
        let of = |id: &str| {
            shapes
                .iter()
                .find(|(own, _)| own == id)
                .map_or(0, |(_, number)| *number)
        };
        for id in plots
            .iter()
            .filter(|id| **id != "glance" || journals.len() > 1)
        {
            let least = if ["glance", "hosts"].contains(id) {
                2
            } else {
                20
            };
            assert!(of(id) >= least, "{name}: {id} has {} shapes", of(id));
        }
        assert_eq!(of("saved") > 0, name == "mirror");
        let said = point_at(&mut browser, "#throughput .spots rect:nth-child(9)");
        assert!(said.contains("iB/s"), "{said}");
        let said = point_at(&mut browser, "#timeline rect.blob");
        assert!(
            said.contains("library/app-") && said.contains(" in "),
            "{said}"
        );
    }
}

#[test]
fn a_page_says_it_all_without_javascript() {
    if !need(&["chromium"]) {
        return;
    }
    let mut browser = Browser::start();
    let off = serde_json::json!({"value": true});
    browser.call("Emulation.setScriptExecutionDisabled", off);
    let (_folder, page) = page(&[("crane.jsonl", small())]);
    browser.open(&page);
    assert_eq!(
        browser.eval("document.querySelector('button.theme')"),
        serde_json::Value::Null
    );
    let shapes = browser.eval(SHAPES);
    assert!(
        !shapes.as_str().unwrap().contains("throughput:0"),
        "{shapes}"
    );
    let spots = "document.querySelectorAll('.spots rect > title').length > 20";
    assert_eq!(
        browser.eval(spots),
        true,
        "the browser's own tips are there"
    );
    assert_eq!(
        browser.eval("document.querySelectorAll('td').length > 25"),
        true
    );
    take(&mut browser, "no-script");
}

#[test]
fn hostile_names_do_nothing_in_a_browser() {
    if !need(&["chromium"]) {
        return;
    }
    let mut browser = Browser::start();
    let (_folder, page) = page(&[
        ("x.jsonl", hostile::journal()),
        (hostile::FILE, hostile::journal()),
    ]);
    look(&mut browser, &page, "hostile");
    assert_eq!(browser.eval("window.pwned === undefined"), true);
    let strangers = "document.querySelectorAll('script, img, iframe, style, link, a, [onerror], [onmouseover]').length";
    assert_eq!(browser.eval(strangers), 3, "its own script, style and icon");
    let text = browser.eval("document.body.textContent");
    assert!(
        text.as_str().unwrap().contains(hostile::NAMES[0]),
        "it is shown as it is"
    );
}
