//! What survives a power cut: a file is synced before it gets its name, and the folder that holds
//! the name afterwards. Seen from outside, in the system calls that the program makes.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use fake_registry::PATIENCE;

use crate::need;
use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;

const TRACE: &str = "exec strace -D -f -y -o trace -e signal=none -e \
    trace=rename,renameat,renameat2,link,linkat,mkdir,mkdirat,fsync,fdatasync,write,writev,pwrite64,pwritev \
    \"$@\"";

/// A system call that succeeded.
#[derive(Clone, Debug)]
struct Call {
    thread: String,
    name: String,
    /// The files that it is about, in the order of its arguments.
    paths: Vec<String>,
    /// The lines of the trace where it begins and ends.
    begun: usize,
    ended: usize,
}

impl Call {
    fn is_sync_of(&self, path: &str) -> bool {
        matches!(&*self.name, "fsync" | "fdatasync") && self.paths == [path]
    }

    fn is_write_to(&self, path: &str) -> bool {
        self.name.contains("write") && self.paths.first().is_some_and(|it| it == path)
    }

    /// Where it puts a file, if it does so.
    fn names(&self) -> Option<(&str, &str)> {
        let places = self.name.starts_with("rename") || self.name.starts_with("link");
        match &self.paths[..] {
            [from, to] if places => Some((from, to)),
            _ => None,
        }
    }
}

/// Reads what `strace -f -y` wrote of a program that runs in `folder`. A call that another thread
/// cut in two is put together.
fn calls(trace: &str, folder: &Path) -> Vec<Call> {
    let mut begun: HashMap<&str, (usize, String)> = HashMap::new();
    let mut calls = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((thread, text)) = line.split_once(' ') else {
            continue;
        };
        let text = text.trim_start();
        if let Some(first) = text.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, (number, first.to_owned()));
            continue;
        }
        let (begin, text) = match (text.split_once(" resumed>"), begun.remove(thread)) {
            (Some((_, rest)), Some((begin, first))) => (begin, first + rest),
            _ => (number, text.to_owned()),
        };
        let Some((name, arguments)) = text.split_once('(') else {
            continue;
        };
        let ended = arguments.rsplit_once(" = ");
        let Some((arguments, _)) = ended.filter(|(_, result)| result.parse::<u64>().is_ok()) else {
            continue;
        };
        let whole = |path: String| folder.join(path).to_string_lossy().into_owned();
        calls.push(Call {
            thread: thread.to_owned(),
            name: name.to_owned(),
            paths: paths(name, arguments).into_iter().map(whole).collect(),
            begun: begin,
            ended: number,
        });
    }
    calls
}

/// What stands in quotes; of calls on an open file, the path that `-y` tells in angle brackets.
fn paths(name: &str, arguments: &str) -> Vec<String> {
    let takes_names = ["rename", "link", "mkdir"];
    if takes_names.iter().any(|it| name.starts_with(it)) {
        let parts = arguments.split('"').skip(1).step_by(2);
        return parts.map(str::to_owned).collect();
    }
    let path = arguments
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    path.map(|(path, _)| path.to_owned()).into_iter().collect()
}

/// Fails unless the file that became `path` was synced when it was named, and all folders with a
/// new entry afterwards.
fn assert_durable(calls: &[Call], path: &Path) {
    let path = path.to_str().unwrap();
    let names = |call: &&Call| call.names().is_some_and(|(_, to)| to == path);
    let named = calls.iter().find(names);
    let named = named.unwrap_or_else(|| panic!("nothing became {path}"));
    let (file, _) = named.names().unwrap();
    let synced = calls
        .iter()
        .find(|call| call.is_sync_of(file) && call.ended <= named.begun)
        .unwrap_or_else(|| panic!("{file} got the name {path} before it was synced"));
    let late = calls
        .iter()
        .find(|call| call.is_write_to(file) && call.ended > synced.begun);
    assert!(late.is_none(), "written after the sync: {late:?}");
    assert!(
        calls.iter().any(|call| call.is_write_to(file)),
        "nothing was written to {file}"
    );

    let made = calls.iter().filter(|call| call.name.starts_with("mkdir"));
    let above = made.filter(|call| Path::new(path).starts_with(&call.paths[0]));
    let entries = above.map(|call| (&*call.paths[0], call));
    for (entry, put) in entries.chain([(path, named)]) {
        let folder = Path::new(entry).parent().unwrap().to_str().unwrap();
        let mut own = calls.iter().filter(|call| call.thread == put.thread);
        assert!(
            own.any(|call| call.is_sync_of(folder) && call.begun >= put.ended),
            "{folder} was not synced after {entry} was put there"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_synced_before_they_are_named_and_folders_afterwards() {
    if !need::may_trace() {
        return;
    }
    let mut rig = Rig::with(Setup::wrapped(TRACE)).await;
    let blob = rig.store_blob(3 * MIB, 1).await;
    let image = rig.put_image("v1", 2);
    rig.pull_image("v1", &image).await;
    rig.settled().await;
    let pid = format!("{} ", rig.proxy.process().pid());
    rig.stop().await;
    let (file, begun) = (rig.store().with_file_name("trace"), Instant::now());
    let is_end = |line: &str| line.starts_with(&pid) && line.contains(" +++ exited");
    let mut trace = String::new();
    while !trace.lines().any(is_end) {
        assert!(begun.elapsed() < PATIENCE, "the trace has no end");
        tokio::time::sleep(Duration::from_millis(10)).await;
        trace = fs::read_to_string(&file).unwrap();
    }
    let calls = calls(&trace, rig.store().parent().unwrap());
    let revision = format!(
        "_manifests/revisions/{}/link",
        image.digest().replace(':', "/")
    );
    let mut durable = vec![
        rig.blob(&blob),
        rig.blob(image.digest()),
        rig.of_app(&revision),
    ];
    durable.push(rig.of_app("_manifests/tags/v1/current/link"));
    durable.extend(image.blobs.iter().map(|layer| rig.blob(&layer.digest)));
    for path in durable {
        assert_durable(&calls, &path);
    }
}

#[test]
fn a_trace_is_read_as_strace_writes_it() {
    let trace = r#"7  pwritev(9</s/tmp/a>, [{iov_base="x"}], 1, 0) = 1
7  fdatasync(9</s/tmp/a> <unfinished ...>
8  mkdir("/s/b", 0777) = -1 EEXIST (File exists)
7  <... fdatasync resumed>) = 0
7  rename("/s/tmp/a", "b/c") = 0
7  fsync(10</s/b>) = 0
7  +++ exited with 0 +++"#;
    let read = calls(trace, Path::new("/s"));
    assert_eq!(read.len(), 4, "{read:?}");
    assert_eq!((read[1].begun, read[1].ended), (1, 3));
    assert_durable(&read, Path::new("/s/b/c"));
    for lost in [1, 3] {
        let mut fewer = read.clone();
        fewer.remove(lost);
        let checked = std::panic::catch_unwind(|| assert_durable(&fewer, Path::new("/s/b/c")));
        assert!(checked.is_err(), "without {:?}", read[lost]);
    }
}
