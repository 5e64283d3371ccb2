//! Imports go down the floors of the house only: not up, and not sideways between rooms of a floor.

use std::fs;
use std::path::Path;

/// From the top. Rooms in one row are neighbours.
const FLOORS: [&[&str]; 9] = [
    &["cli"],
    &["app"],
    &["config"],
    &["front", "admin", "prefetch", "tap", "report"],
    &["flow", "login"],
    &["target"],
    &["store", "registry", "layout"],
    &["ledger"],
    &["oci", "files", "authority"],
];

#[test]
fn imports_go_down_only() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    let mut files = 0;
    for_each_file(&source, &mut |path| {
        let inside = path.strip_prefix(&source).unwrap();
        let text = fs::read_to_string(path).unwrap();
        faults.extend(check(inside.to_str().unwrap(), &text));
        files += 1;
    });
    assert!(
        files > 20,
        "only {files} files were found in {}",
        source.display()
    );
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// A table that names a test which isn't there would promise what nobody checks.
#[test]
fn the_tests_that_the_documentation_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    for folder in ["src", "tests"] {
        for_each_file(&root.join(folder), &mut |path| {
            code += &fs::read_to_string(path).unwrap();
        });
    }
    let page = fs::read_to_string(root.join("docs/reliability.md")).unwrap();
    let is_name = |text: &&str| {
        let text = text.trim_end_matches('`');
        text.len() > 3
            && text
                .chars()
                .all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    let words = page
        .split([' ', ',', '\n'])
        .filter(|word| word.ends_with('`'));
    let names = words
        .filter_map(|word| word.rsplit_once("::"))
        .map(|(_, name)| name);
    let names: Vec<_> = names
        .filter(is_name)
        .map(|name| name.trim_end_matches('`'))
        .collect();
    assert!(names.len() > 100, "only {} names were found", names.len());
    let missing = names
        .iter()
        .filter(|name| !code.contains(&format!("fn {name}(")));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new());
}

fn for_each_file(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).expect("src can be read") {
        let path = entry.expect("src can be read").path();
        if path.is_dir() {
            for_each_file(&path, visit);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            visit(&path);
        }
    }
}

/// What is wrong with the file at `path`, which is relative to `src`.
fn check(path: &str, text: &str) -> Vec<String> {
    let room = path.split_once('/').map_or(path, |(room, _)| room);
    let room = room.trim_end_matches(".rs");
    let is_root = matches!(path, "lib.rs" | "main.rs");
    if !is_root && floor(room).is_none() {
        return vec![format!(
            "{path}: the room '{room}' is on no floor; see FLOORS"
        )];
    }
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split_once("//").map_or(line, |(code, _)| code);
        let mut fault = |what: String| faults.push(format!("{path}:{}: {what}", number + 1));
        if code.contains("crate::{") || code.trim() == "use crate::*;" {
            fault("write one `use crate::room::Thing;` a line".to_owned());
        }
        for used in rooms_in(code).chain(escape(path, code)) {
            match (floor(room), floor(&used)) {
                _ if is_root || used == room => {}
                (Some(own), Some(other)) if other > own => {}
                (_, None) => fault(format!("'{used}' is on no floor; see FLOORS")),
                (Some(own), Some(other)) if other == own => {
                    fault(format!("'{room}' goes sideways, to '{used}'"));
                }
                _ => fault(format!("'{room}' goes up, to '{used}'")),
            }
        }
    }
    faults
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The rooms of all paths that begin with `crate::`, also of those after `$` or behind `pub use`.
fn rooms_in(code: &str) -> impl Iterator<Item = String> {
    let after = code.match_indices("crate::").filter(|(at, _)| {
        let before = code[..*at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    });
    after
        .map(|(at, found)| word(&code[at + found.len()..]))
        .filter(|word| !word.is_empty())
}

/// The room that is reached by climbing out of one's own with `super::`.
fn escape(path: &str, code: &str) -> Option<String> {
    let depth = path.split('/').count() - usize::from(path.ends_with("mod.rs"));
    let climb = "super::".repeat(depth);
    let after = &code[code.find(&climb)? + climb.len()..];
    let word = word(after);
    floor(&word).is_some().then_some(word)
}

fn word(text: &str) -> String {
    let word = |c: &char| c.is_alphanumeric() || *c == '_';
    text.chars().take_while(word).collect()
}

#[test]
fn the_checker_finds_what_is_wrong() {
    for (path, line, found) in [
        (
            "store/mod.rs",
            "use crate::flow::Ask;",
            "goes up, to 'flow'",
        ),
        (
            "oci/name.rs",
            "fn f(x: &crate::ledger::Ledger) {}",
            "goes up, to 'ledger'",
        ),
        (
            "store/links.rs",
            "    use crate::registry::Error;",
            "goes sideways, to 'registry'",
        ),
        (
            "admin/mod.rs",
            "pub use crate::front::Config;",
            "goes sideways, to 'front'",
        ),
        (
            "flow/mod.rs",
            "use crate::{oci::Name, store::Store};",
            "a line",
        ),
        (
            "flow/mod.rs",
            "use crate::attic::Thing;",
            "'attic' is on no floor",
        ),
        ("attic/mod.rs", "", "'attic' is on no floor"),
        (
            "store/mod.rs",
            "use super::flow::Ask;",
            "goes up, to 'flow'",
        ),
        (
            "store/deep/file.rs",
            "use super::super::super::flow::Ask;",
            "goes up, to 'flow'",
        ),
    ] {
        let faults = check(path, &format!("//! Text.\n{line}\n"));
        assert!(
            faults.len() == 1 && faults[0].contains(found),
            "{path} {line}: {faults:?}"
        );
    }
}

#[test]
fn the_checker_lets_through_what_is_right() {
    for (path, line) in [
        ("flow/mod.rs", "use crate::store::Store;"),
        ("flow/mod.rs", "use crate::flow::Ask;"),
        ("store/mod.rs", "/// Read by [`crate::flow::Tail`]."),
        ("store/mod.rs", "    use super::*;"),
        ("store/links.rs", "use super::layout::Layout;"),
        ("store/mod.rs", "use othercrate::flow::Ask;"),
        ("lib.rs", "use crate::cli::Cli;"),
    ] {
        let faults = check(path, line);
        assert!(faults.is_empty(), "{path} {line}: {faults:?}");
    }
}
