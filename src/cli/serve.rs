use std::io::ErrorKind;
use std::sync::Arc;

use super::exit::Exit;
use super::exit::Failure;
use crate::app;
use crate::app::App;
use crate::config::Source;
use crate::ledger::Journal;
use crate::registry;

/// Runs `tidegate serve`.
///
/// `journal` is to be closed by the caller, after all tasks have ended.
pub(super) async fn run(
    source: &Source,
    journal: &mut Option<Arc<Journal>>,
) -> Result<Exit, Failure> {
    let app = App::build(source.load()?).await?;
    *journal = app.journal();
    tracing::info!("tidegate {} with {source}", env!("CARGO_PKG_VERSION"));
    app.run(source).await;
    Ok(Exit::Done)
}

impl From<app::Error> for Failure {
    fn from(error: app::Error) -> Self {
        match &error {
            app::Error::Upstream {
                error: registry::Error::Config(_),
                ..
            } => Self::misused(error),
            // A CA file that can't be read, or a URL that may not be.
            app::Error::Target(_) => Self::misused(error),
            // A certificate or a key, which the configuration names wrongly.
            app::Error::Listen(why) if is_about_a_file(why.kind()) => Self::misused(error),
            // Another process has it.
            app::Error::Journal(why) if why.kind() == ErrorKind::ResourceBusy => {
                Self::nothing(error)
            }
            app::Error::Journal(_) => Self::misused(error),
            _ => Self::nothing(error),
        }
    }
}

fn is_about_a_file(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound | ErrorKind::InvalidData | ErrorKind::InvalidInput
    )
}
