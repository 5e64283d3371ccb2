use std::sync::Arc;

use super::Tally;
use crate::flow::PullThrough;
use crate::target::Targets;

/// What a run works with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct World {
    /// Who asks the sources, and has the store.
    pub flow: Arc<PullThrough>,
    /// The targets, started; `None` where there are none.
    pub targets: Option<Arc<Targets>>,
    /// Who counts requests: one of the ledger's sinks.
    pub tally: Arc<Tally>,
    /// Which items reports are to have.
    pub tell: Tell,
}

/// Which items a report is to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tell {
    /// What changed, and what failed.
    #[default]
    Changes,
    /// What is unchanged, too.
    All,
}
