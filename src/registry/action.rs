//! The spec's actions as requests.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::header::{ACCEPT, RANGE};
use url::Url;

use super::wire::Outgoing;
use super::wire::Subject;
use crate::ledger::Action;
use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Reference;

/// One of the spec's actions on a registry, wherever that is.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// What it is about.
    pub(super) subject: Subject,
    /// `GET` or `HEAD`.
    pub(super) method: Method,
    /// How much of the body to read, in bytes, before this is answered; `None` to leave it to the
    /// caller.
    pub(super) whole: Option<usize>,
    path: String,
    query: String,
    headers: HeaderMap,
}

/// The longest manifest, in bytes: twice what the distribution spec makes registries take.
const LONGEST_MANIFEST: usize = 8 << 20;
/// The longest list, in bytes.
const LONGEST_LIST: usize = 16 << 20;

impl Call {
    fn new(flow: FlowId, action: Action, path: String) -> Self {
        Self {
            subject: Subject {
                flow,
                action,
                repository: Arc::default(),
                reference: Arc::default(),
            },
            method: Method::GET,
            whole: None,
            path,
            query: String::new(),
            headers: HeaderMap::new(),
        }
    }

    fn about(mut self, name: &Name, reference: &str) -> Self {
        self.subject.repository = name.as_str().into();
        self.subject.reference = reference.into();
        self
    }

    fn head(mut self) -> Self {
        self.method = Method::HEAD;
        self
    }

    /// `GET /v2/`.
    pub(super) fn ping(flow: FlowId) -> Self {
        let mut call = Self::new(flow, Action::Ping, "/v2/".into());
        call.whole = Some(LONGEST_LIST);
        call
    }

    /// `HEAD` of a manifest.
    pub(super) fn manifest_head(
        flow: FlowId,
        name: &Name,
        reference: &Reference,
        accept: &str,
    ) -> Self {
        Self::manifest(flow, Action::ManifestHead, (name, reference), accept).head()
    }

    /// `GET` of a manifest.
    pub(super) fn manifest_get(
        flow: FlowId,
        name: &Name,
        reference: &Reference,
        accept: &str,
    ) -> Self {
        let mut call = Self::manifest(flow, Action::ManifestGet, (name, reference), accept);
        call.whole = Some(LONGEST_MANIFEST);
        call
    }

    fn manifest(
        flow: FlowId,
        action: Action,
        (name, reference): (&Name, &Reference),
        accept: &str,
    ) -> Self {
        let path = format!("/v2/{name}/manifests/{reference}");
        let mut call = Self::new(flow, action, path).about(name, reference.as_str());
        if let Ok(value) = HeaderValue::from_str(accept)
            && !value.is_empty()
        {
            call.headers.insert(ACCEPT, value);
        }
        call
    }

    /// `HEAD` of a blob.
    pub(super) fn blob_head(flow: FlowId, name: &Name, digest: &Digest) -> Self {
        let path = format!("/v2/{name}/blobs/{digest}");
        Self::new(flow, Action::BlobHead, path)
            .about(name, digest.as_str())
            .head()
    }

    /// `GET` of a blob, or of a part of it: open-ended where the range ends at `u64::MAX`.
    pub(super) fn blob_get(
        flow: FlowId,
        name: &Name,
        digest: &Digest,
        range: Option<&Range<u64>>,
    ) -> Self {
        let path = format!("/v2/{name}/blobs/{digest}");
        let mut call = Self::new(flow, Action::BlobGet, path).about(name, digest.as_str());
        let range = range.map(|range| match range.end {
            u64::MAX => format!("bytes={}-", range.start),
            end => format!("bytes={}-{}", range.start, end.saturating_sub(1)),
        });
        if let Some(Ok(value)) = range.map(HeaderValue::try_from) {
            call.headers.insert(RANGE, value);
        }
        call
    }

    /// `GET` of a list of tags.
    pub(super) fn tag_list(flow: FlowId, name: &Name, query: &str) -> Self {
        let path = format!("/v2/{name}/tags/list");
        let mut call = Self::new(flow, Action::TagList, path).about(name, "");
        query.clone_into(&mut call.query);
        call.whole = Some(LONGEST_LIST);
        call
    }

    /// `GET` of a list of referrers.
    pub(super) fn referrers(flow: FlowId, name: &Name, digest: &Digest, query: &str) -> Self {
        let path = format!("/v2/{name}/referrers/{digest}");
        let mut call = Self::new(flow, Action::Referrers, path).about(name, digest.as_str());
        query.clone_into(&mut call.query);
        call.whole = Some(LONGEST_LIST);
        call
    }

    /// The request for it to the registry at `base`, signed with `authorization`.
    pub(super) fn outgoing(&self, base: &Url, authorization: Option<&HeaderValue>) -> Outgoing {
        let mut url = base.clone();
        url.set_path(&format!(
            "{}{}",
            base.path().trim_end_matches('/'),
            self.path
        ));
        url.set_query(Some(self.query.as_str()).filter(|query| !query.is_empty()));
        let mut headers = self.headers.clone();
        if let Some(value) = authorization {
            headers.insert(http::header::AUTHORIZATION, value.clone());
        }
        Outgoing {
            method: self.method.clone(),
            url,
            headers,
            body: Bytes::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_specs_requests() {
        let flow = FlowId::next();
        let name: Name = "library/a".parse().unwrap();
        let digest = Digest::of(b"");
        let base: Url = "https://host:5000/prefix/".parse().unwrap();
        let list = Call::tag_list(flow, &name, "n=5&last=a b").outgoing(&base, None);
        assert_eq!(
            list.url.as_str(),
            "https://host:5000/prefix/v2/library/a/tags/list?n=5&last=a%20b"
        );
        let root: Url = "https://host".parse().unwrap();
        let ping = Call::ping(flow).outgoing(&root, None);
        assert_eq!(ping.url.as_str(), "https://host/v2/");
        let range = |range| {
            let call = Call::blob_get(flow, &name, &digest, Some(&range));
            call.outgoing(&root, None).headers[RANGE].clone()
        };
        assert_eq!(range(0..1), "bytes=0-0");
        assert_eq!(range(7..u64::MAX), "bytes=7-");
        let head = Call::manifest_head(flow, &name, &Reference::Digest(digest.clone()), "");
        let head = head.outgoing(&root, None);
        assert_eq!(head.method, Method::HEAD);
        assert!(head.headers.is_empty());
        assert!(head.url.path().ends_with(digest.as_str()), "{}", head.url);
    }
}
