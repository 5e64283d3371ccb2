use std::io::IsTerminal as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use super::exit::Exit;
use super::exit::Failure;
use super::print;
use crate::app::copy;
use crate::app::copy::Copy;
use crate::app::copy::End;
use crate::app::copy::Error;
use crate::app::copy::Progress;
use crate::app::copy::Report;
use crate::config::Source;
use crate::layout;
use crate::oci::Platform;

/// Arguments of `tidegate copy`.
#[derive(Args, Debug)]
pub(super) struct CopyArgs {
    /// REGISTRY/REPOSITORY[:TAG][@DIGEST], oci:DIR[:REF] or docker-archive:FILE[:NAME:TAG]
    #[arg(value_name = "SOURCE")]
    source: End,
    /// The same
    #[arg(value_name = "TARGET")]
    target: End,
    /// Copy only this platform of an index, such as linux/arm64 (may be repeated)
    #[arg(long, value_name = "OS/ARCHITECTURE")]
    platform: Vec<Platform>,
    /// Leave out signatures, attestations and whatever else refers to the image
    #[arg(long)]
    no_referrers: bool,
    /// Ask a target registry at the end what the tag points to (one request more)
    #[arg(long)]
    verify: bool,
    /// Speak plain HTTP with registries that the configuration does not know
    #[arg(long)]
    plain_http: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `tidegate copy`.
pub(super) async fn run(args: &CopyArgs, source: &Source) -> Result<Exit, Failure> {
    let config = source.load()?;
    let wish = Copy {
        source: args.source.clone(),
        target: args.target.clone(),
        platforms: args.platform.clone(),
        referrers: !args.no_referrers,
        verify: args.verify,
        plain_http: args.plain_http,
    };
    let progress = Arc::new(Progress::default());
    let report = tokio::select! {
        report = copy::copy(&wish, &config, progress.clone()) => report?,
        never = shown(&progress) => match never {},
        () = interrupted() => {
            return Err(Failure::nothing(anyhow::anyhow!("interrupted; nothing was finished")));
        }
    };
    for failed in &report.failed {
        tracing::error!("{failed}");
    }
    if args.json {
        print::json(&report)?;
    } else {
        say(&report, &mut std::io::stdout().lock())?;
    }
    Ok(match report.failed.is_empty() {
        true => Exit::Done,
        false => Exit::Partly,
    })
}

/// Says what was copied.
pub(super) fn say(report: &Report, out: &mut dyn std::io::Write) -> std::io::Result<()> {
    let uploaded = bytesize::ByteSize(report.upload_bytes);
    writeln!(out, "{}  {}", report.target, report.digest)?;
    if let Some(id) = &report.image_id {
        writeln!(out, "image id {id}")?;
    }
    write!(
        out,
        "{} manifests, {} blobs: {} written ({uploaded})",
        report.manifests, report.blobs, report.uploads
    )?;
    if report.mounts > 0 {
        write!(out, ", {} mounted", report.mounts)?;
    }
    if report.referrers > 0 {
        let failed = report.failed.len();
        write!(
            out,
            "; {} referrers, {failed} of them failed",
            report.referrers
        )?;
    }
    writeln!(out, "; {:.1} s", report.seconds)
}

/// Shows on a terminal how far the copy is, until it is dropped; nothing elsewhere.
pub(super) async fn shown(progress: &Progress) -> std::convert::Infallible {
    const GLANCE: Duration = Duration::from_millis(100);
    if !std::io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    let bar = Bar(ProgressBar::with_draw_target(
        Some(0),
        ProgressDrawTarget::stderr(),
    ));
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left")
    {
        bar.0.set_style(style);
    }
    let mut ticks = tokio::time::interval(GLANCE);
    loop {
        ticks.tick().await;
        let (done, total) = progress.bytes();
        if total > 0 {
            bar.0.set_length(total);
            bar.0.set_position(done);
        }
    }
}

/// Leaves the terminal as it was.
struct Bar(ProgressBar);

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
        let _ = std::io::stderr().flush();
    }
}

/// SIGINT or SIGTERM: what is temporary is removed then.
async fn interrupted() {
    let heard = |kind| signal(kind).ok();
    let (interrupt, terminate) = (
        heard(SignalKind::interrupt()),
        heard(SignalKind::terminate()),
    );
    let (Some(mut interrupt), Some(mut terminate)) = (interrupt, terminate) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Usage(_)
            | Error::Disk(layout::Error::Unnamed { .. } | layout::Error::Unfit(_)) => {
                Self::misused(error)
            }
            Error::Registry {
                error: crate::registry::Error::Config(_),
                ..
            } => Self::misused(error),
            _ => Self::nothing(error),
        }
    }
}
