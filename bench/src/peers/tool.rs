//! What is known of a tool that brings images from one registry to another.

use std::path::Path;

use super::Install;
use super::Job;
use super::Order;

/// A tool that brings images from one registry to another, as its file describes it.
#[derive(Debug)]
pub(crate) struct Tool {
    /// Its column's head.
    pub(crate) name: &'static str,
    /// What the command line calls it.
    pub(crate) asked: &'static str,
    /// How it is installed.
    pub(crate) install: Install,
    /// What makes it say its version.
    pub(crate) version: &'static [&'static str],
    /// How it is set up and run, and why so.
    pub(crate) settings: &'static str,
    /// What it can't do, or does otherwise than the others.
    pub(crate) limits: &'static str,
    /// Whether it can be told to bring signatures and referrers of images with them.
    pub(crate) referrers: bool,
    /// Whether it is meant to keep a mirror in step, by being run again and again.
    pub(crate) keeps_in_step: bool,
    /// Whether the work is done by programs that it starts.
    pub(crate) starts_others: bool,
    /// The target's repository that one of the source is brought to.
    pub(crate) place: fn(&str) -> String,
    /// What is run, one after the other. Its files are written into the order's folder.
    pub(crate) jobs: Jobs,
}

/// The program, and what it is to do.
pub(crate) type Jobs = fn(&Path, &Order<'_>) -> anyhow::Result<Vec<Job>>;

/// Below `mirror`, by the same name: where most put it.
pub(super) fn mirrored(name: &str) -> String {
    format!("mirror/{name}")
}
