//! The report: what it counts, what it refuses, and how its page looks in a browser.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod bad;
mod browser;
mod command;
mod craft;
mod golden;
mod hostile;
mod page;
mod properties;
mod realistic;
mod size;
mod wire;
