//! `/metrics`, as Prometheus sees it: the built program under traffic, scraped, linted by
//! `promtool`, and asked about through a real Prometheus.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod alerts;
mod dashboard;
mod documentation;
mod figures;
mod page;
mod prometheus;
mod reload;
mod scene;
mod scrape;
