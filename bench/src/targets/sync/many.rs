//! Very many small images: whether time, memory and requests grow with them, and no faster.

use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use fake_registry::Process;
use fake_registry::Target;
use fake_registry::Upstream;

use crate::machine::Machine;
use crate::peers;
use crate::stop;
use crate::targets::contestant::Watch;
use crate::targets::contestant::in_turn;

/// How many tags, and who brings them.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How many tags there are, one run for each number.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [2500, 5000, 10_000])]
    tags: Vec<usize>,
    /// Over how many repositories.
    #[arg(long, value_name = "N", default_value_t = 200)]
    repositories: usize,
    /// The tidegate to measure [default: the release build, built first where run by cargo].
    #[arg(long, value_name = "PATH")]
    tidegate: Option<PathBuf>,
    /// Where the store is put.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

/// What a run took.
struct Taken {
    tags: usize,
    wall: Duration,
    cpu: f64,
    peak: f64,
    source: usize,
    target: usize,
    failure: Option<String>,
}

/// Brings so many tags from one scripted registry into another, cold and again.
///
/// # Errors
/// When tidegate is not there, or a signal ends the run.
pub(crate) fn run(options: &Options) -> anyhow::Result<String> {
    stop::listen()?;
    let program = peers::tidegate::wanted(options.tidegate.as_deref())?;
    let machine = Machine::look(&options.dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut text = format!(
        "{} cores of {}, {}; {}\n\n{} repositories; each image has a config and two layers of 1 kB, one of \
         which its repository's images share; all by the catalog's list, both registries scripted, on the \
         same cores\n\n| tags | run | wall clock, s | CPU, s | peak memory, MiB | source requests | \
         target requests |\n|---:|---|---:|---:|---:|---:|---:|\n",
        machine.cores, machine.cpu, machine.kernel, machine.commit, options.repositories,
    );
    for &tags in &options.tags {
        stop::check()?;
        for (name, taken) in runtime.block_on(both(&program, tags, options))? {
            let failure = taken.failure.as_deref().unwrap_or_default();
            let line = format!(
                "| {} | {name} | {:.1} | {:.1} | {:.0} | {} | {} | {failure}",
                taken.tags,
                taken.wall.as_secs_f64(),
                taken.cpu,
                taken.peak,
                taken.source,
                taken.target,
            );
            eprintln!("{line}");
            let _ = writeln!(text, "{line}");
        }
    }
    runtime.shutdown_background();
    Ok(text)
}

async fn both(
    program: &Path,
    tags: usize,
    options: &Options,
) -> anyhow::Result<[(&'static str, Taken); 2]> {
    let (source, target) = (Upstream::start().await, Target::start().await);
    fill(&source, tags, options.repositories);
    let folder = peers::folder(&options.dir)?;
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n[store]\npath = \"store\"\n\n\
         [[upstream]]\nname = \"source.test\"\nurl = {:?}\nplain_http = true\n\
         credentials = \"anonymous\"\n\n\
         [[target]]\nname = \"target\"\nurl = {:?}\nplain_http = true\n\
         credentials = \"anonymous\"\nrepository = \"mirror/{{repository}}\"\n\n\
         [[prefetch]]\nname = \"all\"\nfrom = \"source.test/*\"\nto = \"target\"\n\
         referrers = false\n",
        source.url(),
        target.url(),
    );
    std::fs::write(folder.path().join("proxy.toml"), config)?;
    let once = async || {
        source.clear_log();
        target.clear_log();
        let command = Process::command(program)
            .args(["sync", "--quiet", "--config", "proxy.toml"])
            .folder(folder.path());
        let effort = in_turn(vec![command], Watch::default()).await?;
        anyhow::Ok(Taken {
            tags,
            wall: effort.wall,
            cpu: effort.cpu,
            peak: effort.peak,
            source: source.count(|_| true),
            target: target.count(|_| true),
            failure: effort.failure,
        })
    };
    Ok([("cold", once().await?), ("again", once().await?)])
}

fn fill(source: &Upstream, tags: usize, repositories: usize) {
    for at in 0..tags {
        let name = format!("team/app{:03}", at % repositories);
        let blob = |seed: usize| {
            let bytes = format!("{seed:0>1000}");
            (source.put_blob(&name, bytes.clone()), bytes.len())
        };
        let own = [
            blob(at),
            blob(1_000_000 + at % repositories),
            blob(2_000_000 + at),
        ];
        let descriptor = |(digest, size): &(String, usize)| {
            serde_json::json!({"mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": digest, "size": size})
        };
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type,
            "config": descriptor(&own[0]), "layers": [descriptor(&own[1]), descriptor(&own[2])],
        });
        source.put_manifest(&name, &format!("v{at}"), media_type, manifest.to_string());
    }
}
