//! How far sets are: lines that move on a terminal, else a line every few seconds.

use std::convert::Infallible;
use std::io::IsTerminal as _;
use std::io::Write as _;
use std::time::Duration;
use std::time::Instant;

use bytesize::ByteSize;
use indicatif::MultiProgress;
use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;

use crate::prefetch::Active;
use crate::prefetch::Snapshot;

/// How often what is on a terminal changes.
const GLANCE: Duration = Duration::from_millis(200);
/// How often a line is written elsewhere.
const LINE: Duration = Duration::from_secs(5);
/// So many images are shown one by one.
const MOST: usize = 12;

/// Whether lines that move can be shown.
pub(in crate::cli) fn is_on_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Shows how far it is, until it is dropped.
pub(super) async fn show(look: impl Fn() -> Vec<Snapshot>, quiet: bool) -> Infallible {
    match (quiet, is_on_terminal()) {
        (true, _) => std::future::pending().await,
        (false, true) => bars(look).await,
        (false, false) => lines(look).await,
    }
}

async fn lines(look: impl Fn() -> Vec<Snapshot>) -> Infallible {
    let begun = Instant::now();
    loop {
        tokio::time::sleep(LINE).await;
        let all = Total::of(&look());
        let rate = all.bytes as f64 / begun.elapsed().as_secs_f64();
        let mut err = std::io::stderr().lock();
        let _ = writeln!(
            err,
            "{} of {}{} images, {} failed, {} under way; {} so far, {}/s",
            all.done,
            all.found,
            if all.discovering { " or more" } else { "" },
            all.failed,
            all.active.len(),
            ByteSize(all.bytes),
            ByteSize(rate as u64),
        );
    }
}

/// All sets together.
#[derive(Debug, Default)]
struct Total {
    discovering: bool,
    found: u64,
    done: u64,
    failed: u64,
    bytes: u64,
    active: Vec<Active>,
}

impl Total {
    fn of(snapshots: &[Snapshot]) -> Self {
        let mut all = Self::default();
        for one in snapshots {
            let images = &one.images;
            all.discovering |= one.discovering;
            all.found += one.found;
            all.done += images.unchanged + images.copied + images.failed + images.skipped;
            all.failed += images.failed;
            all.bytes += one.bytes;
            all.active.extend(one.active.iter().cloned());
        }
        all
    }
}

/// One line for the whole, one for each of the first images that are under way.
struct Bars {
    all: MultiProgress,
    whole: ProgressBar,
    /// By the images that they show.
    images: Vec<(String, ProgressBar)>,
}

async fn bars(look: impl Fn() -> Vec<Snapshot>) -> Infallible {
    let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
    let whole = all.add(ProgressBar::new(0));
    whole.set_style(style(
        "{bar:30} {pos}/{len} images, {msg}, {elapsed} so far, {eta} left",
    ));
    let mut bars = Bars {
        all,
        whole,
        images: Vec::new(),
    };
    let mut ticks = tokio::time::interval(GLANCE);
    loop {
        ticks.tick().await;
        bars.update(&Total::of(&look()));
    }
}

impl Bars {
    fn update(&mut self, total: &Total) {
        let seconds = self.whole.elapsed().as_secs_f64().max(0.1);
        let rate = (total.bytes as f64 / seconds) as u64;
        self.whole.set_length(total.found);
        self.whole.set_position(total.done);
        let more = if total.discovering {
            ", looking for more"
        } else {
            ""
        };
        self.whole.set_message(format!(
            "{} failed, {}, {}/s{more}",
            total.failed,
            ByteSize(total.bytes),
            ByteSize(rate),
        ));
        // Those that only look take too short to be read.
        let shown = total.active.iter().filter(|active| active.total > 0);
        let shown: Vec<&Active> = shown.take(MOST).collect();
        self.images.retain(|(image, bar)| {
            let stays = shown.iter().any(|active| active.image == *image);
            if !stays {
                bar.finish_and_clear();
                self.all.remove(bar);
            }
            stays
        });
        for active in shown {
            let bar = self.bar(&active.image);
            bar.set_length(active.total);
            bar.set_position(active.bytes);
        }
    }

    fn bar(&mut self, image: &str) -> ProgressBar {
        if let Some((_, bar)) = self.images.iter().find(|(name, _)| name == image) {
            return bar.clone();
        }
        let bar = self.all.add(ProgressBar::new(0));
        bar.set_style(style(
            "  {bar:20} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left  {msg}",
        ));
        bar.set_message(image.to_owned());
        self.images.push((image.to_owned(), bar.clone()));
        bar
    }
}

/// Leaves the terminal as it was.
impl Drop for Bars {
    fn drop(&mut self) {
        let _ = self.all.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
