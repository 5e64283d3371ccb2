//! An index of which only some manifests are wanted.

use std::time::Duration;

use super::Error;
use super::errand::Work;
use super::node::Node;
use super::part::Part;
use crate::oci::Digest;
use crate::oci::Reference;
use crate::registry;

/// How long an index waits for manifests of it that nobody pulls.
pub(super) const PATIENCE: Duration = Duration::from_secs(10 * 60);

impl Work {
    /// Whether the manifests that `node` names are this errand's business, not that of whoever pulls
    /// them.
    pub(super) fn wants_children(&self, node: &Node) -> bool {
        self.part != Part::Requested || node.children.is_empty()
    }

    /// Puts an index as it is where the target takes one whose manifests are not all there, else
    /// when they are.
    pub(super) async fn put_index(&self, node: &Node) -> Result<(), Error> {
        let lacking: Vec<_> = self.lacking(node).cloned().collect();
        if lacking.is_empty() {
            return self.put_root(node).await;
        }
        let mounting = &self.remote.mounting;
        let some_are_there = lacking.len() < node.children.len();
        if !some_are_there || mounting.sparse() == Some(false) {
            return Err(waits(node, lacking));
        }
        let Some(errand) = self.remote.errand(self.id) else {
            return Ok(());
        };
        let Some(tag) = errand.tag else {
            // By its digest alone it is of use to nobody who does not have it already.
            return Err(waits(node, lacking));
        };
        let _turn = self.remote.turns.take(&self.name, tag.as_str()).await;
        let reference = Reference::Tag(tag.clone());
        match self.put_once(node, &reference).await {
            Ok(_) => {
                mounting.found_sparse(true);
                // Known, but not as one that has all.
                self.remote.catalog.note(&self.name, &node.digest);
                self.remote.catalog.note_tag(&self.name, &tag, &node.digest);
                Ok(())
            }
            Err(registry::Error::BlobUnknown(said)) => {
                for digest in said.iter().filter(|digest| !lacking.contains(digest)) {
                    self.remote.catalog.withdraw(&self.name, digest);
                }
                mounting.found_sparse(false);
                Err(waits(node, self.lacking(node).cloned().collect()))
            }
            Err(error) => Err(self.refusal(&format!("manifest {reference}"), error)),
        }
    }

    fn lacking<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Digest> {
        node.children
            .iter()
            .filter(|child| !self.has_manifest(child))
    }
}

fn waits(node: &Node, lacking: Vec<Digest>) -> Error {
    Error::Waits {
        why: format!(
            "waits for {} of its {} platforms to be pulled (`complete = \"requested\"`)",
            lacking.len(),
            node.children.len()
        ),
        lacking,
    }
}
