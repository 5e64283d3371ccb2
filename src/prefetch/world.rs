use std::sync::Arc;

use super::Sources;
use super::Tally;
use crate::flow::PullThrough;
use crate::target::Targets;

/// What a run works with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct World {
    /// Who brings the content, and has the store.
    pub flow: Arc<PullThrough>,
    /// Who is asked what there is, and remembers some of it from run to run.
    pub sources: Sources,
    /// The targets, started with [`Tally::watching`] over the flow's supply; `None` where there are
    /// none.
    pub targets: Option<Arc<Targets>>,
    /// Who counts what crosses the network: one of the ledger's sinks.
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
