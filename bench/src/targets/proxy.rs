//! tidegate's own way: what clients pull through it is mirrored on the way.

use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use fake_registry::Tidegate;

use super::Effort;
use super::contestant::LIMIT;
use super::pull::Puller;
use super::world::Stage;
use super::world::World;

/// How it is run.
pub(super) const WAY: &str = "`tidegate serve` with an empty store; a client pulls all images, \
                              four at a time, every platform; until the last is in the target";

/// What the source is called.
const UPSTREAM: &str = "source.test";
/// How often the target is looked at.
const GLANCE: Duration = Duration::from_millis(5);
/// How long it may take to end.
const FAREWELL: Duration = Duration::from_secs(60);

/// Where `name` is mirrored to.
pub(super) fn place(name: &str) -> String {
    format!("mirror/{UPSTREAM}/{name}")
}

/// Mirrors all at once.
///
/// # Errors
/// When a signal ends the run.
pub(super) async fn mirror(
    program: &Path,
    (world, stage): (&World, &Stage),
) -> anyhow::Result<Effort> {
    let tidegate = start(program, (world, stage)).await;
    let (start, puller) = (Instant::now(), Puller::new(tidegate.url()));
    let mut effort = Effort::default();
    if let Err(error) = puller.pull(&world.images).await {
        effort.failure = Some(format!("{error:#}"));
    }
    effort.pulled = Some(start.elapsed());
    finish(&tidegate, (world, stage), (start, &mut effort)).await?;
    Ok(effort)
}

/// Mirrors one half, ends the proxy while it is at it, starts it again, and mirrors the other half.
///
/// # Errors
/// When a signal ends the run.
pub(super) async fn mirror_by_halves(
    program: &Path,
    (world, stage): (&World, &Stage),
) -> anyhow::Result<Effort> {
    let mut tidegate = start(program, (world, stage)).await;
    let start = Instant::now();
    let mut effort = Effort::default();
    let (first, second) = world.images.split_at(world.images.len() / 2);
    let mut pulled = Puller::new(tidegate.url()).pull(first).await;
    add(&tidegate, &mut effort);
    tidegate.process_mut().terminate();
    let status = tidegate.process_mut().wait(FAREWELL).await;
    if !status.success() {
        effort.failure = Some(format!("it ended with {status}"));
    }
    tidegate.restart().await;
    pulled = pulled.and(Puller::new(tidegate.url()).pull(second).await);
    if let Err(error) = pulled {
        effort.failure = Some(format!("{error:#}"));
    }
    effort.pulled = Some(start.elapsed());
    finish(&tidegate, (world, stage), (start, &mut effort)).await?;
    Ok(effort)
}

async fn start(program: &Path, (world, stage): (&World, &Stage)) -> Tidegate {
    let ca = world.pki.ca_file();
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\n\
         [store]\npath = \"store\"\n\n\
         [[upstream]]\nname = {UPSTREAM:?}\ndefault = true\nurl = {:?}\nca = {ca:?}\n\
         credentials = \"anonymous\"\n\n\
         [[target]]\nname = \"target\"\nurl = {:?}\nca = {ca:?}\ncredentials = \"anonymous\"\n\
         repository = \"mirror/{{upstream}}/{{repository}}\"\ncomplete = \"all\"\n",
        world.source.url(),
        stage.target.url(),
    );
    let folder = stage.folder.path().join("tidegate");
    let _ = std::fs::create_dir(&folder);
    let tidegate = Tidegate::builder(program, &config).folder(&folder);
    tidegate.start().await
}

/// Waits until the target has all, and says what it took.
async fn finish(
    tidegate: &Tidegate,
    (world, stage): (&World, &Stage),
    (start, effort): (Instant, &mut Effort),
) -> anyhow::Result<()> {
    while !world.all_tagged(stage, place) {
        crate::stop::check()?;
        if start.elapsed() > LIMIT || (effort.failure.is_some() && start.elapsed() > FAREWELL) {
            let log = tidegate.log();
            let lines: Vec<&str> = log.lines().rev().take(5).collect();
            let missed = "the target never has all; its log ends, last line first, with: ";
            let failure = effort.failure.take().unwrap_or_default();
            effort.failure = Some(format!("{failure} {missed}{}", lines.join(" | ")));
            break;
        }
        tokio::time::sleep(GLANCE).await;
    }
    effort.wall = start.elapsed();
    add(tidegate, effort);
    Ok(())
}

fn add(tidegate: &Tidegate, effort: &mut Effort) {
    effort.cpu += tidegate.cpu_seconds();
    let peak = tidegate.peak_rss() as f64 / f64::from(1 << 20);
    effort.peak = effort.peak.max(peak);
}
