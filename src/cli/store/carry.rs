use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::super::copy::say;
use super::super::copy::shown;
use super::Exit;
use super::Failure;
use super::Output;
use crate::app::copy;
use crate::app::copy::Carried;
use crate::app::copy::Progress;
use crate::app::copy::Reference;
use crate::app::copy::Report;
use crate::config::Config;
use crate::layout::Location;
use crate::oci::Platform;
use crate::store;

mod sets;

/// Arguments of `tidegate store export`.
#[derive(Args, Clone, Debug)]
#[command(
    override_usage = "tidegate store export [OPTIONS] <REF>... <TO>\n       \
    tidegate store export --set <NAME>... [--since <LAST>] <TO>"
)]
pub(in crate::cli) struct ExportArgs {
    /// REF: UPSTREAM/NAME:TAG or UPSTREAM/NAME@DIGEST; UPSTREAM/NAME for all its tags.
    /// TO, the last: oci:DIR[:REF] or docker-archive:FILE[:NAME:TAG]; with --set oci:DIR, FILE.tar,
    /// FILE.tar.gz or FILE.tar.zst
    #[arg(required = true, value_name = "REF|TO")]
    words: Vec<String>,
    /// All that this set selects and the store has (may be repeated)
    #[arg(long = "set", value_name = "NAME", conflicts_with_all = ["platform", "no_referrers"])]
    sets: Vec<String>,
    /// Leave out what the other side has of an earlier export: its list (`*.json`, written beside
    /// it), or the export itself
    #[arg(long, value_name = "LAST", requires = "sets")]
    since: Option<PathBuf>,
    #[command(flatten)]
    how: How,
}

/// Arguments of `tidegate store import`.
#[derive(Args, Clone, Debug)]
#[command(
    override_usage = "tidegate store import [OPTIONS] --as <UPSTREAM/NAME[:TAG]> <FROM>\n       \
    tidegate store import <FROM>"
)]
pub(in crate::cli) struct ImportArgs {
    /// oci:DIR[:REF] or docker-archive:FILE[:NAME:TAG]; without --as, what `export --set` has
    /// written: oci:DIR, FILE.tar, FILE.tar.gz or FILE.tar.zst
    #[arg(value_name = "FROM")]
    from: String,
    /// What clients are to pull one image as; without a TAG, as the image is tagged there. Without
    /// this: all images of an exported set, as what they were
    #[arg(long = "as", value_name = "UPSTREAM/NAME[:TAG]", value_parser = Reference::stored)]
    at: Option<Reference>,
    #[command(flatten)]
    how: How,
}

#[derive(Args, Clone, Debug)]
struct How {
    /// Only this platform of an index, such as linux/arm64 (may be repeated)
    #[arg(long, value_name = "OS/ARCHITECTURE")]
    platform: Vec<Platform>,
    /// Leave out signatures, attestations and whatever else refers to the image
    #[arg(long)]
    no_referrers: bool,
    #[command(flatten)]
    output: Output,
}

impl How {
    fn of(&self, store: store::Config) -> Carried {
        Carried {
            store,
            platforms: self.platform.clone(),
            referrers: !self.no_referrers,
        }
    }
}

fn misused(word: &str, why: String) -> Failure {
    Failure::misused(anyhow::anyhow!("'{word}': {why}"))
}

fn location(text: &str) -> Result<Location, String> {
    Location::parse(text).unwrap_or_else(|| {
        Err("expected oci:DIR[:REF] or docker-archive:FILE[:NAME:TAG]".to_owned())
    })
}

/// Runs `tidegate store export`.
pub(super) async fn export(args: &ExportArgs, config: &Config) -> Result<Exit, Failure> {
    if !args.sets.is_empty() {
        return sets::export(args, config).await;
    }
    let Some((to, images @ [_, ..])) = args.words.split_last() else {
        return Err(Failure::misused(anyhow::anyhow!(
            "name an image and where it is to go"
        )));
    };
    let to = location(to).map_err(|why| misused(to, why))?;
    let read =
        |word: &String| Reference::stored(word).map_err(|why| misused(word, why.to_string()));
    let images = images.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let progress = Arc::new(Progress::default());
    let wish = args.how.of(config.store.clone());
    let reports = tokio::select! {
        reports = copy::export(&wish, &images, &to, progress.clone()) => reports?,
        never = shown(&progress) => match never {},
    };
    args.how
        .output
        .print(&reports, |reports: &Vec<Report>, out| {
            reports.iter().try_for_each(|report| {
                write!(out, "{} -> ", report.source)?;
                say(report, out)
            })
        })?;
    Ok(Exit::Done)
}

/// Runs `tidegate store import`.
pub(super) async fn import(args: &ImportArgs, store: store::Config) -> Result<Exit, Failure> {
    let Some(at) = &args.at else {
        return sets::import(args, store).await;
    };
    let from = location(&args.from).map_err(|why| misused(&args.from, why))?;
    if at.digest.is_some() {
        let why = "`--as` takes a tag, no digest: the image has its own";
        return Err(Failure::misused(anyhow::anyhow!(why)));
    }
    let progress = Arc::new(Progress::default());
    let wish = args.how.of(store);
    let report = tokio::select! {
        report = copy::import(&wish, &from, at, progress.clone()) => report?,
        never = shown(&progress) => match never {},
    };
    args.how
        .output
        .print(&report, |report: &Report, out| say(report, out))?;
    Ok(Exit::Done)
}
