//! Referrers at a target that keeps no list of them: the list is an index under a tag (distribution
//! spec, "Referrers Tag Schema").

use bytes::Bytes;
use serde_json::Value;
use serde_json::json;

use super::Error;
use super::Manifest;
use super::Pace;
use super::errand::Work;
use super::node::Node;
use crate::ledger::Fate;
use crate::ledger::Reason;
use crate::oci::Digest;
use crate::oci::Reference;
use crate::oci::Tag;
use crate::oci::media;
use crate::registry;
use crate::registry::PutManifest;

impl Work {
    /// `node` was put: where it refers to something and the target did not say that it knows, it is
    /// added to the list.
    pub(super) async fn refer(&self, node: &Node, put: &PutManifest) -> Result<(), Error> {
        let Some(subject) = node.subject.as_ref().filter(|_| put.subject.is_none()) else {
            return Ok(());
        };
        let Ok(tag) = fallback_tag(subject).parse::<Tag>() else {
            return Ok(());
        };
        let _turn = self.remote.turns.take(&self.name, tag.as_str()).await;
        let reference = Reference::Tag(tag.clone());
        let list = self.referrers(&reference).await?;
        let longer = match extended(list.as_deref(), node) {
            Longer::By(bytes) => bytes,
            Longer::Already => return Ok(()),
            Longer::NoList => {
                let target = &*self.remote.name;
                let name = &self.name;
                tracing::warn!(
                    target,
                    "{name}:{tag} is no list of referrers, and stays as it is"
                );
                return Ok(());
            }
        };
        let digest = Digest::of(&longer);
        let manifest = Manifest {
            media_type: media::OCI_INDEX.into(),
            bytes: longer,
        };
        let list = Node::new(digest, manifest, Pace::Client);
        let put = self.put_once(&list, &reference).await;
        put.map_err(|error| self.refusal(&format!("list of referrers {tag}"), error))?;
        // Whatever was mirrored under this tag is not there any more.
        self.remote.catalog.withdraw_tag(&self.name, &tag);
        Ok(())
    }

    /// The list as it is; `None` where there is none.
    async fn referrers(&self, reference: &Reference) -> Result<Option<Bytes>, Error> {
        let remote = &self.remote;
        let _lane = remote.lanes.requests.acquire().await;
        let (flow, accept) = (self.errand.flow, media::ACCEPT_NATIVE);
        let got = self
            .registry
            .manifest_get(flow, &self.name, reference, accept);
        match got.await {
            Ok(mut list) => {
                list.unspent.spend_all(Fate::Discarded(Reason::Control));
                Ok(Some(list.bytes))
            }
            Err(registry::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.refusal(&format!("list of referrers {reference}"), error)),
        }
    }
}

/// `<algorithm>-<hex>`, as long as a tag may be.
fn fallback_tag(subject: &Digest) -> String {
    let hex = subject.hex();
    let algorithm = subject.algorithm().as_str();
    format!("{algorithm}-{}", &hex[..hex.len().min(64)])
}

/// What a list is with one more.
enum Longer {
    By(Bytes),
    /// It was there already.
    Already,
    /// What is there is no list.
    NoList,
}

fn extended(list: Option<&[u8]>, node: &Node) -> Longer {
    let mut list: Value = match list {
        None => json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": []}),
        Some(bytes) => match serde_json::from_slice(bytes) {
            Ok(list) => list,
            Err(_) => return Longer::NoList,
        },
    };
    let Some(all) = list.get_mut("manifests").and_then(Value::as_array_mut) else {
        return Longer::NoList;
    };
    let digest = node.digest.as_str();
    if all.iter().any(|entry| entry["digest"] == digest) {
        return Longer::Already;
    }
    all.push(descriptor(node));
    match serde_json::to_vec(&list) {
        Ok(bytes) => Longer::By(bytes.into()),
        Err(_) => Longer::NoList,
    }
}

fn descriptor(node: &Node) -> Value {
    let manifest: Value = serde_json::from_slice(&node.manifest.bytes).unwrap_or_default();
    let mut entry = json!({
        "mediaType": &*node.manifest.media_type,
        "digest": node.digest.as_str(),
        "size": node.manifest.bytes.len(),
    });
    let own = manifest["artifactType"]
        .as_str()
        .filter(|own| !own.is_empty());
    if let Some(kind) = own.or(manifest["config"]["mediaType"].as_str()) {
        entry["artifactType"] = kind.into();
    }
    if let Some(annotations) = manifest.get("annotations").filter(|it| it.is_object()) {
        entry["annotations"] = annotations.clone();
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(json: &Value) -> Node {
        let bytes: Bytes = json.to_string().into();
        let manifest = Manifest {
            media_type: media::OCI_MANIFEST.into(),
            bytes: bytes.clone(),
        };
        Node::new(Digest::of(&bytes), manifest, Pace::Client)
    }

    #[test]
    fn a_list_grows_by_what_is_new() {
        let signature = node(&json!({
            "config": {"mediaType": "a/config", "size": 2, "digest": Digest::of(b"{}").as_str()},
            "annotations": {"by": "me"},
        }));
        let Longer::By(one) = extended(None, &signature) else {
            panic!("an empty list takes it");
        };
        let list: Value = serde_json::from_slice(&one).unwrap();
        assert_eq!(list["mediaType"], media::OCI_INDEX);
        let entry = &list["manifests"][0];
        assert_eq!(entry["digest"], signature.digest.as_str());
        assert_eq!(entry["size"], signature.manifest.bytes.len());
        assert_eq!(entry["artifactType"], "a/config");
        assert_eq!(entry["annotations"]["by"], "me");
        assert!(matches!(extended(Some(&one), &signature), Longer::Already));
        let sbom = node(&json!({"artifactType": "an/sbom"}));
        let Longer::By(two) = extended(Some(&one), &sbom) else {
            panic!("it is not in it");
        };
        let list: Value = serde_json::from_slice(&two).unwrap();
        assert_eq!(list["manifests"][0]["artifactType"], "a/config");
        assert_eq!(list["manifests"][1]["artifactType"], "an/sbom");
    }

    #[test]
    fn what_is_no_list_is_left_alone() {
        let new = node(&json!({"artifactType": "an/sbom"}));
        for other in [&b"{}"[..], b"[]", b"no json", br#"{"manifests":{}}"#] {
            assert!(matches!(extended(Some(other), &new), Longer::NoList));
        }
    }

    #[test]
    fn tags_are_made_as_the_spec_has_it() {
        let digest = Digest::of(b"x");
        assert_eq!(fallback_tag(&digest), digest.as_str().replace(':', "-"));
    }
}
