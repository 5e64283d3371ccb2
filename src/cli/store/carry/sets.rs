//! Sets across a gap: `store export --set` and `store import` of what that has written.

use std::io;
use std::io::Write;
use std::sync::Arc;

use anyhow::anyhow;
use bytesize::ByteSize;

use super::Exit;
use super::ExportArgs;
use super::Failure;
use super::ImportArgs;
use super::Progress;
use super::misused;
use super::shown;
use crate::app::copy;
use crate::app::copy::Bundle;
use crate::app::copy::Exported;
use crate::app::copy::Exporting;
use crate::app::copy::Imported;
use crate::config::Config;
use crate::prefetch::Set;
use crate::store;

/// Runs `tidegate store export --set`.
pub(super) async fn export(args: &ExportArgs, config: &Config) -> Result<Exit, Failure> {
    let [to] = &args.words[..] else {
        return Err(Failure::misused(anyhow!(
            "with --set, name only where it is to go"
        )));
    };
    let to = Bundle::parse(to).map_err(|why| Failure::misused(anyhow!(why)))?;
    let wish = Exporting {
        store: config.store.clone(),
        sets: chosen(args, config)?,
        upstreams: config
            .upstreams
            .iter()
            .map(|it| it.registry.name.clone())
            .collect(),
        since: args.since.clone(),
    };
    let progress = Arc::new(Progress::default());
    let exported = tokio::select! {
        exported = copy::export_sets(&wish, &to, progress.clone()) => exported?,
        never = shown(&progress) => match never {},
    };
    args.how.output.print(&exported, say_exported)?;
    Ok(exit(&exported.failed))
}

fn chosen(args: &ExportArgs, config: &Config) -> Result<Vec<Set>, Failure> {
    let names: Vec<&str> = config.prefetch.iter().map(|set| &*set.name).collect();
    let one = |name: &String| {
        let found = config.prefetch.iter().find(|set| *set.name == **name);
        found.cloned().ok_or_else(|| {
            let why = match names.is_empty() {
                true => "there is no [[prefetch]]".to_owned(),
                false => format!("there is no such set; there are {}", names.join(", ")),
            };
            misused(name, why)
        })
    };
    args.sets.iter().map(one).collect()
}

/// Runs `tidegate store import` without `--as`.
pub(super) async fn import(args: &ImportArgs, store: store::Config) -> Result<Exit, Failure> {
    if !args.how.platform.is_empty() || args.how.no_referrers {
        return Err(Failure::misused(anyhow!(
            "a set is imported as it was exported: --platform and --no-referrers are for one image, \
             with --as"
        )));
    }
    let from = Bundle::parse(&args.from).map_err(|why| {
        Failure::misused(anyhow!(
            "{why}; to import one image, say what it is to be with --as"
        ))
    })?;
    let progress = Arc::new(Progress::default());
    let imported = tokio::select! {
        imported = copy::import_all(&store, &from, progress.clone()) => imported?,
        never = shown(&progress) => match never {},
    };
    args.how.output.print(&imported, say_imported)?;
    let nothing = imported.images == 0 && !imported.failed.is_empty();
    Ok(match nothing {
        true => Exit::Nothing,
        false => exit(&imported.failed),
    })
}

fn exit(failed: &[String]) -> Exit {
    match failed.is_empty() {
        true => Exit::Done,
        false => Exit::Partly,
    }
}

fn say_exported(exported: &Exported, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", exported.target)?;
    write!(
        out,
        "{} images, {} written ({})",
        exported.images,
        exported.written,
        ByteSize(exported.bytes)
    )?;
    if exported.left_out > 0 {
        write!(out, ", {} left out: they are there", exported.left_out)?;
    }
    if exported.unchanged > 0 {
        write!(out, "; {} images unchanged", exported.unchanged)?;
    }
    writeln!(out, "; {:.1} s", exported.seconds)?;
    writeln!(out, "for the next one: --since {}", exported.list)?;
    failures(&exported.failed, out)
}

fn say_imported(imported: &Imported, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{} images, {} written ({}); {:.1} s",
        imported.images,
        imported.written,
        ByteSize(imported.bytes),
        imported.seconds
    )?;
    failures(&imported.failed, out)
}

fn failures(failed: &[String], out: &mut dyn Write) -> io::Result<()> {
    failed
        .iter()
        .try_for_each(|why| writeln!(out, "failed: {why}"))
}
