//! An index of which only the manifests for some platforms are wanted.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::Complete;
use super::Error;
use super::Extent;
use super::Manifest;
use super::Missing;
use super::Wish;
use super::errand::Work;
use super::node::Node;
use super::state::KnownPart;
use crate::oci::Digest;
use crate::oci::Index;
use crate::oci::Platform;
use crate::oci::Reference;
use crate::registry;

/// How much of an index an errand is to bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All its manifests.
    All,
    /// Itself; its manifests are brought by those who pull them.
    Requested,
    /// The manifests for these platforms, as far as it has them.
    Platforms(Arc<[Platform]>),
}

impl Part {
    /// What a client's pull brings to a target.
    pub(super) fn of_pulls(complete: Complete) -> Self {
        match complete {
            Complete::All => Self::All,
            Complete::Requested => Self::Requested,
        }
    }

    /// What `wish` wants of a target.
    pub(super) fn of_wish(wish: &Wish, complete: Complete) -> Self {
        match wish.extent {
            _ if !wish.platforms.is_empty() => Self::Platforms(wish.platforms.clone()),
            Extent::All => Self::All,
            Extent::Configured => Self::of_pulls(complete),
        }
    }

    /// Whether who brings this brings all of `other`, too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        *self == Self::All || self == other
    }

    /// How it is remembered that only so much of `index` was wanted; `None` for all of it.
    pub(super) fn known(&self, index: &Digest) -> Option<KnownPart> {
        let Self::Platforms(platforms) = self else {
            return None;
        };
        let mut platforms: Vec<String> = platforms.iter().map(ToString::to_string).collect();
        platforms.sort_unstable();
        platforms.dedup();
        Some(KnownPart {
            of: index.clone(),
            platforms: platforms.join(","),
        })
    }

    /// Leaves out of a node what is not wanted.
    ///
    /// # Errors
    /// `Missing` where there is nothing that is wanted.
    pub(super) fn cut(&self, node: &mut Node) -> Result<(), Error> {
        let Self::Platforms(platforms) = self else {
            return Ok(());
        };
        if node.children.is_empty() {
            return Ok(());
        }
        let Some(index) = Index::parse(&node.manifest.bytes) else {
            return Ok(());
        };
        let chosen = index.choose_present(platforms);
        let chosen = chosen.map_err(Missing::Gone)?;
        node.children.retain(|child| {
            let is_chosen = chosen.contains(child);
            node.is_part |= !is_chosen;
            is_chosen
        });
        Ok(())
    }
}

impl Work {
    /// Puts an index of which a part is there: as it is where the target takes that, else one that
    /// names that part only.
    pub(super) async fn put_part(&self, node: &Node) -> Result<(), Error> {
        let mounting = &self.remote.mounting;
        // One errand finds out, not all at once.
        let _trial = match mounting.sparse() {
            None => Some(mounting.trial().await),
            Some(_) => None,
        };
        if mounting.sparse() != Some(false) && self.put_sparse(node).await? {
            return Ok(());
        }
        let Some(cut) = cut_index(node) else {
            let text = "it is no index that can be cut down to some of its platforms";
            return Err(Missing::Gone(text.to_owned()).into());
        };
        self.put_root(&cut).await?;
        super::lock(&self.tally).digest_put = Some(cut.digest);
        Ok(())
    }

    /// Puts the index as it is. Whether the target took it.
    async fn put_sparse(&self, node: &Node) -> Result<bool, Error> {
        let Some(errand) = self.remote.errand(self.id) else {
            return Ok(true);
        };
        let reference = match errand.tag {
            Some(tag) => Reference::Tag(tag),
            None => Reference::Digest(errand.digest),
        };
        let _turn = self.remote.turns.take(&self.name, reference.as_str()).await;
        if self.remote.errand(self.id).map(|errand| errand.tag) != Some(tag_of(&reference)) {
            // Somebody else puts what it points to now.
            return Ok(true);
        }
        match self.put_once(node, &reference).await {
            Ok(_) => {
                self.remote.mounting.found_sparse(true);
                self.note_root(node, tag_of(&reference).as_ref());
                Ok(true)
            }
            Err(registry::Error::BlobUnknown(lacking)) => {
                // What it has not, though it was known to, is looked for when the part of it is put.
                let expected = lacking.iter().all(|digest| !node.children.contains(digest));
                if expected {
                    self.remote.mounting.found_sparse(false);
                }
                Ok(false)
            }
            Err(registry::Error::Invalid { .. } | registry::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.refusal(&format!("manifest {reference}"), error)),
        }
    }
}

fn tag_of(reference: &Reference) -> Option<crate::oci::Tag> {
    match reference {
        Reference::Tag(tag) => Some(tag.clone()),
        Reference::Digest(_) => None,
    }
}

/// The index `node` with no other manifests than those that are wanted of it. The same each time.
pub(super) fn cut_index(node: &Node) -> Option<Node> {
    let mut index: Value = serde_json::from_slice(&node.manifest.bytes).ok()?;
    let manifests = index.get_mut("manifests")?.as_array_mut()?;
    let is_wanted = |entry: &Value| {
        let digest = entry["digest"].as_str();
        digest.is_some_and(|digest| node.children.iter().any(|it| it.as_str() == digest))
    };
    manifests.retain(is_wanted);
    let bytes: Bytes = serde_json::to_vec(&index).ok()?.into();
    let manifest = Manifest {
        media_type: node.manifest.media_type.clone(),
        bytes: bytes.clone(),
    };
    Some(Node::new(Digest::of(&bytes), manifest, node.pace))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::oci::media;
    use crate::target::Pace;

    fn digest(fill: char) -> String {
        format!("sha256:{}", String::from(fill).repeat(64))
    }

    fn node() -> Node {
        let entry = |fill: char, architecture: &str| {
            json!({"mediaType": media::OCI_MANIFEST, "digest": digest(fill), "size": 1,
                "platform": {"os": "linux", "architecture": architecture}})
        };
        let index = json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX,
            "manifests": [entry('a', "amd64"), entry('b', "arm64"), entry('c', "s390x")],
            "annotations": {"kept": "yes"}});
        let bytes: Bytes = index.to_string().into();
        let manifest = Manifest {
            media_type: media::OCI_INDEX.into(),
            bytes: bytes.clone(),
        };
        Node::new(Digest::of(&bytes), manifest, Pace::Background)
    }

    fn part(platforms: &[&str]) -> Part {
        Part::Platforms(platforms.iter().map(|it| it.parse().unwrap()).collect())
    }

    #[test]
    fn an_index_is_cut_down_to_what_is_wanted() {
        let mut one = node();
        part(&["linux/s390x", "linux/amd64", "linux/386"])
            .cut(&mut one)
            .unwrap();
        assert!(one.is_part);
        let cut = cut_index(&one).unwrap();
        let json: Value = serde_json::from_slice(&cut.manifest.bytes).unwrap();
        assert_eq!(json["annotations"]["kept"], "yes");
        let left: Vec<_> = cut.children.iter().map(|it| &it.hex()[..1]).collect();
        assert_eq!(left, ["a", "c"]);
        assert_eq!(cut.digest, cut_index(&one).unwrap().digest);
    }

    #[test]
    fn all_of_an_index_is_no_part_of_it() {
        let mut all = node();
        part(&["linux/s390x", "linux/amd64", "linux/arm64"])
            .cut(&mut all)
            .unwrap();
        assert!(!all.is_part && all.children.len() == 3);
        let none = part(&["windows/amd64"]).cut(&mut node());
        assert!(
            matches!(none, Err(Error::Missing(Missing::Gone(_)))),
            "{none:?}"
        );
    }

    #[test]
    fn all_covers_a_part_and_not_the_other_way() {
        let (one, other) = (part(&["linux/amd64"]), part(&["linux/arm64"]));
        assert!(Part::All.covers(&one) && Part::All.covers(&Part::Requested));
        assert!(one.covers(&one) && !one.covers(&other) && !one.covers(&Part::All));
    }
}
