//! Journals, summed up: what was asked, what moved, what was saved, side by side.
//!
//! [`read`] reads a journal, [`Summary`] adds its records up, [`Live`] does so while traffic flows,
//! and [`markdown`] (its [`tables`] alone too), [`tsv`], [`json`] and [`html`] write what some
//! [`Column`]s of them say. What each figure means is defined once, beside the code that counts
//! it, and printed with every report.

mod column;
mod group;
mod history;
mod html;
mod json;
mod live;
mod markdown;
mod metric;
mod plot;
mod read;
mod summary;
mod tsv;
mod value;
mod words;

pub use column::{Column, names};
pub use history::History;
pub use html::{html, page};
pub use json::json;
pub use live::Live;
pub use markdown::{markdown, tables};
pub use read::{Error, Records, read};
pub use summary::Summary;
pub use tsv::tsv;
