//! The tools that mirror by themselves: where they are, and how each is told.

use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use fake_registry::Process;
use fake_registry::ProcessBuilder;

use super::world::Stage;
use super::world::World;

/// A program in `PATH`.
///
/// # Errors
/// When it is not there; says how to `install` it.
pub(super) fn installed(name: &str, install: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut files = std::env::split_paths(&path).map(|folder| folder.join(name));
    let found = files.find(|file| file.is_file());
    found.with_context(|| format!("it is not installed; {install}"))
}

/// A program in `PATH`, or built by Go into a folder beside this program.
///
/// # Errors
/// When there is neither the program nor Go, or Go does not build it.
pub(super) fn built(name: &str) -> anyhow::Result<PathBuf> {
    let module = match name {
        "regsync" => "github.com/regclient/regclient/cmd/regsync",
        _ => "github.com/google/go-containerregistry/cmd/crane",
    };
    let install = format!("go install {module}@latest");
    if let Ok(found) = installed(name, &install) {
        return Ok(found);
    }
    let folder = std::env::current_exe()?.with_file_name("bench-go");
    let program = folder.join(name);
    if program.is_file() {
        return Ok(program);
    }
    let go = installed("go", &format!("with Go, {install} would build it"))?;
    eprintln!("building {name}: {install}");
    let status = Command::new(go)
        .args(["install", &format!("{module}@latest")])
        .env("GOBIN", &folder)
        .status()?;
    anyhow::ensure!(status.success(), "{install}: {status}");
    Ok(program)
}

/// The first line of what it says of its version.
pub(super) fn version(program: &Path, arguments: &[&str]) -> String {
    let said = Command::new(program).args(arguments).output();
    let said = said.map(|said| said.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    said.lines().next().unwrap_or_default().trim().to_owned()
}

/// Processor time of all children of this process that have ended, in seconds (proc_pid_stat(5),
/// `cutime` and `cstime`).
pub(super) fn reaped() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat
        .rsplit_once(')')
        .context("a line of proc_pid_stat(5)")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|it| it.parse().ok()).unwrap_or(0);
    let ticks: u64 = field(13) + field(14);
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// `skopeo sync` from a file in its YAML.
pub(super) fn skopeo(
    program: &Path,
    (world, stage): (&World, &Stage),
) -> anyhow::Result<ProcessBuilder> {
    let mut yaml = format!("{}:\n  images:\n", world.source.host());
    for (name, tags) in by_repository(world) {
        let _ = writeln!(yaml, "    {name}: [{}]", tags.join(", "));
    }
    let file = stage.folder.path().join("skopeo.yaml");
    std::fs::write(&file, yaml)?;
    // What it remembers of registries is a file of the machine: a run has its own.
    let enter = r#"mkdir -p /var/lib/containers &&
        mount -t tmpfs tmpfs /var/lib/containers 2>/dev/null; exec "$0" "$@""#;
    let command = Process::command("unshare")
        .args(["--mount", "sh", "-c", enter])
        .arg(program)
        .args(["--insecure-policy", "sync", "--all", "--preserve-digests"])
        .args(["--src", "yaml", "--dest", "docker"])
        .arg(&file)
        .arg(format!("{}/mirror", stage.target.host()));
    Ok(trusting(command, world))
}

/// `regsync once` with one entry for each repository.
pub(super) fn regsync(
    program: &Path,
    (world, stage): (&World, &Stage),
    place: impl Fn(&str) -> String,
) -> anyhow::Result<ProcessBuilder> {
    let (source, target) = (world.source.host(), stage.target.host());
    let mut yaml = "version: 1\ndefaults:\n  parallel: 4\nsync:\n".to_owned();
    for (name, _) in by_repository(world) {
        let _ = writeln!(
            yaml,
            "  - source: {source}/{name}\n    target: {target}/{}\n    type: repository",
            place(&name)
        );
    }
    let file = stage.folder.path().join("regsync.yaml");
    std::fs::write(&file, yaml)?;
    let command = Process::command(program)
        .args(["once", "--config"])
        .arg(&file);
    Ok(trusting(command, world))
}

/// `crane copy --all-tags` for each repository.
pub(super) fn cranes(
    program: &Path,
    (world, stage): (&World, &Stage),
    place: impl Fn(&str) -> String,
) -> Vec<ProcessBuilder> {
    let (source, target) = (world.source.host(), stage.target.host());
    let copy = |(name, _): (String, Vec<String>)| {
        let command = Process::command(program)
            .args(["copy", "--all-tags"])
            .arg(format!("{source}/{name}"))
            .arg(format!("{target}/{}", place(&name)));
        trusting(command, world)
    };
    by_repository(world).into_iter().map(copy).collect()
}

/// `tidegate copy` for each tag.
pub(super) fn tidegate_copies(
    program: &Path,
    (world, stage): (&World, &Stage),
    place: impl Fn(&str) -> String,
) -> anyhow::Result<Vec<ProcessBuilder>> {
    let (source, target) = (world.source.host(), stage.target.host());
    let folder = stage.folder.path();
    let ca = world.pki.ca_file();
    let file = folder.join("copy.toml");
    std::fs::write(
        &file,
        format!(
            "[store]\npath = {:?}\n\n[[upstream]]\nname = \"source.test\"\n\
             url = \"https://{source}\"\nca = {ca:?}\ncredentials = \"anonymous\"\n\n\
             [[target]]\nname = \"target\"\nurl = \"https://{target}\"\nca = {ca:?}\n\
             repository = \"mirror/{{upstream}}/{{repository}}\"\ncredentials = \"anonymous\"\n",
            folder.join("store")
        ),
    )?;
    let copy = |(name, tag): (&str, &str)| {
        let command = Process::command(program)
            .args(["copy", "--no-referrers", "--config"])
            .arg(&file)
            .arg(format!("{source}/{name}:{tag}"))
            .arg(format!("{target}/{}:{tag}", place(name)))
            .folder(folder);
        trusting(command, world)
    };
    let images = world.images.iter();
    let images = images.map(|wanted| (wanted.name.as_str(), wanted.tag.as_str()));
    Ok(images.map(copy).collect())
}

/// `tidegate sync` of one set, a file of references.
pub(super) fn tidegate_sync(
    program: &Path,
    (world, stage): (&World, &Stage),
) -> anyhow::Result<ProcessBuilder> {
    let folder = stage.folder.path().join("sync");
    let _ = std::fs::create_dir(&folder);
    let mut references = String::new();
    for wanted in &world.images {
        let _ = writeln!(references, "source.test/{}:{}", wanted.name, wanted.tag);
    }
    std::fs::write(folder.join("images.txt"), references)?;
    let ca = world.pki.ca_file();
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n[store]\npath = \"store\"\n\n\
         [[upstream]]\nname = \"source.test\"\nurl = {:?}\nca = {ca:?}\n\
         credentials = \"anonymous\"\n\n\
         [[target]]\nname = \"target\"\nurl = {:?}\nca = {ca:?}\ncredentials = \"anonymous\"\n\
         repository = \"mirror/{{repository}}\"\n\n\
         [[prefetch]]\nname = \"all\"\nfrom = \"file:images.txt\"\nto = \"target\"\n\
         referrers = false\n",
        world.source.url(),
        stage.target.url(),
    );
    std::fs::write(folder.join("proxy.toml"), config)?;
    let command = Process::command(program);
    Ok(command
        .args(["sync", "--quiet", "--config", "proxy.toml"])
        .folder(&folder))
}

/// Go, and whoever else heeds it, finds our authority there.
fn trusting(command: ProcessBuilder, world: &World) -> ProcessBuilder {
    command.env("SSL_CERT_FILE", world.pki.ca_file())
}

fn by_repository(world: &World) -> Vec<(String, Vec<String>)> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for wanted in &world.images {
        match all.last_mut() {
            Some((name, tags)) if *name == wanted.name => tags.push(wanted.tag.clone()),
            _ => all.push((wanted.name.clone(), vec![wanted.tag.clone()])),
        }
    }
    all
}
