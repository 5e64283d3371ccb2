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
use crate::layout::Location;
use crate::oci::Platform;
use crate::store;

/// Arguments of `tidegate store export`.
#[derive(Args, Clone, Debug)]
#[command(override_usage = "tidegate store export [OPTIONS] <REF>... <TO>")]
pub(in crate::cli) struct ExportArgs {
    /// REF: UPSTREAM/NAME:TAG or UPSTREAM/NAME@DIGEST; UPSTREAM/NAME for all its tags.
    /// TO, the last: oci:DIR[:REF] or docker-archive:FILE[:NAME:TAG]
    #[arg(required = true, value_name = "REF|TO")]
    words: Vec<String>,
    #[command(flatten)]
    how: How,
}

/// Arguments of `tidegate store import`.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct ImportArgs {
    /// oci:DIR[:REF] or docker-archive:FILE[:NAME:TAG]
    #[arg(value_name = "FROM", value_parser = location)]
    from: Location,
    /// What clients are to pull it as; without a TAG, as the image is tagged there
    #[arg(long = "as", value_name = "UPSTREAM/NAME[:TAG]", value_parser = Reference::stored)]
    at: Reference,
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

fn location(text: &str) -> Result<Location, String> {
    Location::parse(text).unwrap_or_else(|| {
        Err("expected oci:DIR[:REF] or docker-archive:FILE[:NAME:TAG]".to_owned())
    })
}

/// Runs `tidegate store export`.
pub(super) async fn export(args: &ExportArgs, store: store::Config) -> Result<Exit, Failure> {
    let Some((to, images @ [_, ..])) = args.words.split_last() else {
        return Err(Failure::misused(anyhow::anyhow!(
            "name an image and where it is to go"
        )));
    };
    let misused = |word: &String, why: String| Failure::misused(anyhow::anyhow!("'{word}': {why}"));
    let to = location(to).map_err(|why| misused(to, why))?;
    let read =
        |word: &String| Reference::stored(word).map_err(|why| misused(word, why.to_string()));
    let images = images.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let progress = Arc::new(Progress::default());
    let wish = args.how.of(store);
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
    if args.at.digest.is_some() {
        let why = "`--as` takes a tag, no digest: the image has its own";
        return Err(Failure::misused(anyhow::anyhow!(why)));
    }
    let progress = Arc::new(Progress::default());
    let wish = args.how.of(store);
    let report = tokio::select! {
        report = copy::import(&wish, &args.from, &args.at, progress.clone()) => report?,
        never = shown(&progress) => match never {},
    };
    args.how
        .output
        .print(&report, |report: &Report, out| say(report, out))?;
    Ok(Exit::Done)
}
