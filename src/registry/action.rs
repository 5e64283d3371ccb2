//! The spec's actions as requests.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::header::{ACCEPT, RANGE};
use url::Url;
use url::form_urlencoded;

use super::Priority;
use super::access::Access;
use super::quay::TagsOf;
use super::sending::Cargo;
use super::wire::Outgoing;
use super::wire::Subject;
use crate::ledger::Action;
use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Reference;

mod writing;

/// One of the spec's actions on a registry, wherever that is.
#[derive(Clone)]
pub(super) struct Call {
    /// What it is about.
    pub(super) subject: Subject,
    /// The HTTP method.
    pub(super) method: Method,
    /// How much of the body to read, in bytes, before this is answered; `None` to leave it to the
    /// caller.
    pub(super) whole: Option<usize>,
    /// The statuses of success.
    pub(super) good: &'static [u16],
    /// What it brings.
    pub(super) cargo: Cargo,
    /// When the upload began that it belongs to.
    pub(super) began: Option<Instant>,
    place: Place,
    query: String,
    headers: HeaderMap,
}

/// Where a request goes.
#[derive(Clone)]
enum Place {
    /// To this path of the registry.
    Path(String),
    /// To where the registry said. It may hold a secret in its query.
    Said(Url),
}

/// The longest manifest, in bytes: twice what the distribution spec makes registries take.
const LONGEST_MANIFEST: usize = 8 << 20;
/// The longest list, or answer to a write, in bytes.
const LONGEST_LIST: usize = 16 << 20;

impl Call {
    fn new(flow: FlowId, action: Action, path: String) -> Self {
        Self {
            subject: Subject {
                flow,
                action,
                repository: Arc::default(),
                reference: Arc::default(),
                access: Access::Pull,
                pace: Priority::Foreground,
                is_extra: false,
            },
            method: Method::GET,
            whole: None,
            good: &[200, 206],
            cargo: Cargo::Whole(Bytes::new()),
            began: None,
            place: Place::Path(path),
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

    /// The same as one that can be done without, at `url` where that is said.
    pub(super) fn extra(mut self, url: Option<&Url>) -> Self {
        self.subject.is_extra = true;
        if let Some(url) = url {
            self.place = Place::Said(url.clone());
        }
        self
    }

    /// `GET` of a list of tags.
    pub(super) fn tag_list(flow: FlowId, name: &Name, query: &str) -> Self {
        let path = format!("/v2/{name}/tags/list");
        let mut call = Self::new(flow, Action::TagList, path).about(name, "");
        query.clone_into(&mut call.query);
        call.whole = Some(LONGEST_LIST);
        call
    }

    /// `GET` of the list of all repositories.
    pub(super) fn catalog(flow: FlowId, query: &str) -> Self {
        let mut call = Self::new(flow, Action::Catalog, "/v2/_catalog".into());
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

    /// `GET` of a page of a namespace's repositories, by Quay's API.
    pub(super) fn quay_repositories(flow: FlowId, namespace: &str, page: Option<&str>) -> Self {
        let path = "/api/v1/repository".to_owned();
        let mut call = Self::new(flow, Action::Catalog, path);
        call.subject.access = Access::Api;
        call.subject.reference = namespace.into();
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("namespace", namespace)
            .append_pair("public", "true")
            .append_pair("last_modified", "true");
        if let Some(page) = page {
            query.append_pair("next_page", page);
        }
        call.query = query.finish();
        call.whole = Some(LONGEST_LIST);
        call
    }

    /// `GET` of a page of a repository's tags, by Quay's API.
    pub(super) fn quay_tags(flow: FlowId, name: &Name, page: TagsOf<'_>) -> Self {
        let path = format!("/api/v1/repository/{name}/tag/");
        let mut call = Self::new(flow, Action::TagList, path);
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("onlyActiveTags", "true");
        match page {
            TagsOf::Page(number) => query
                .append_pair("limit", "100")
                .append_pair("page", &number.to_string()),
            TagsOf::One(tag) => query
                .append_pair("limit", "1")
                .append_pair("specificTag", tag.as_str()),
        };
        call.query = query.finish();
        call = call.about(name, "");
        if let TagsOf::One(tag) = page {
            call.subject.reference = tag.as_str().into();
        }
        call.subject.access = Access::Api;
        call.whole = Some(LONGEST_LIST);
        call
    }

    /// Whether `digest` is what this is about, as far as that can be compared.
    pub(super) fn is_about(&self, digest: &Digest) -> bool {
        match self.subject.reference.split_once(':') {
            Some((algorithm, _)) if digest.as_str().starts_with(&format!("{algorithm}:")) => {
                *self.subject.reference == *digest.as_str()
            }
            _ => true,
        }
    }

    /// The request for it to the registry at `base`, signed with `authorization`.
    pub(super) fn outgoing(&self, base: &Url, authorization: Option<&HeaderValue>) -> Outgoing {
        let url = match &self.place {
            Place::Said(url) => url.clone(),
            Place::Path(path) => {
                let mut url = base.clone();
                url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
                url.set_query(Some(self.query.as_str()).filter(|query| !query.is_empty()));
                url
            }
        };
        let is_elsewhere = url.origin() != base.origin();
        let mut headers = self.headers.clone();
        if let Some(value) = authorization.filter(|_| !is_elsewhere) {
            headers.insert(http::header::AUTHORIZATION, value.clone());
        }
        Outgoing {
            method: self.method.clone(),
            url,
            headers,
            cargo: self.cargo.clone(),
            is_elsewhere,
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
