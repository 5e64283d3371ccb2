//! The actions that write.

use std::ops::Range;

use http::HeaderValue;
use http::Method;
use http::header::{CONTENT_RANGE, CONTENT_TYPE};
use url::form_urlencoded;

use super::Call;
use super::LONGEST_LIST;
use super::Place;
use crate::ledger::Action;
use crate::ledger::FlowId;
use crate::oci::Name;
use crate::oci::Reference;
use crate::registry::Error;
use crate::registry::MountFrom;
use crate::registry::NewManifest;
use crate::registry::access::Access;
use crate::registry::sending::Cargo;
use crate::registry::upload::Upload;

impl Call {
    /// Something that is written into a repository.
    fn write(mut self, method: Method, good: &'static [u16]) -> Self {
        self.method = method;
        self.subject.access = Access::Push;
        self.good = good;
        self.whole = Some(LONGEST_LIST);
        self
    }

    /// `POST` of an upload.
    pub(in crate::registry) fn upload_start(flow: FlowId, name: &Name) -> Self {
        let path = format!("/v2/{name}/blobs/uploads/");
        let call = Self::new(flow, Action::UploadStart, path).about(name, "");
        call.write(Method::POST, &[202])
    }

    /// `POST` of an upload that is to be a mount.
    pub(in crate::registry) fn blob_mount(flow: FlowId, name: &Name, mount: MountFrom<'_>) -> Self {
        let MountFrom { digest, from } = mount;
        let mut call = Self::upload_start(flow, name).about(name, digest.as_str());
        call.good = &[201, 202];
        call.subject.action = Action::BlobMount;
        call.subject.access = Access::Mount(from.as_str().into());
        call.query = form_urlencoded::Serializer::new(String::new())
            .append_pair("mount", digest.as_str())
            .append_pair("from", from.as_str())
            .finish();
        call
    }

    /// `PATCH` of an upload: the bytes of `range`, with `Content-Range`, or all of them, without.
    pub(in crate::registry) fn upload_chunk(
        upload: &Upload<'_>,
        range: Option<&Range<u64>>,
        cargo: Cargo,
    ) -> Self {
        let good = &[202, 201, 204];
        let mut call = Self::upload(upload, Action::UploadChunk).write(Method::PATCH, good);
        call.cargo = cargo;
        // As the specification has it, which is not as RFC 9110 has it.
        let range = range.map(|it| format!("{}-{}", it.start, it.end.saturating_sub(1)));
        if let Some(Ok(value)) = range.map(HeaderValue::try_from) {
            call.headers.insert(CONTENT_RANGE, value);
        }
        call
    }

    /// `PUT` of an upload, which ends it, with what was not sent before.
    pub(in crate::registry) fn upload_finish(upload: &Upload<'_>, cargo: Cargo) -> Self {
        let good = &[201, 200, 204];
        let mut call = Self::upload(upload, Action::UploadFinish).write(Method::PUT, good);
        call.cargo = cargo;
        if let Place::Said(url) = &mut call.place {
            let mut query = url.query_pairs_mut();
            query.append_pair("digest", upload.digest);
        }
        call
    }

    /// `DELETE` of an upload.
    pub(in crate::registry) fn upload_cancel(upload: &Upload<'_>) -> Self {
        let good = &[204, 200, 202];
        let mut call = Self::upload(upload, Action::Delete).write(Method::DELETE, good);
        call.headers.clear();
        call
    }

    fn upload(upload: &Upload<'_>, action: Action) -> Self {
        let session = upload.session;
        let call = Self::new(upload.flow, action, String::new());
        let mut call = call.about(&session.name, upload.digest);
        call.place = Place::Said(session.url.clone());
        call.began = Some(session.began);
        let octets = HeaderValue::from_static("application/octet-stream");
        call.headers.insert(CONTENT_TYPE, octets);
        call
    }

    /// `PUT` of a manifest.
    pub(in crate::registry) fn manifest_put(
        flow: FlowId,
        name: &Name,
        reference: &Reference,
        manifest: NewManifest<'_>,
    ) -> Result<Self, Error> {
        let media_type = HeaderValue::from_str(manifest.media_type);
        let media_type = media_type.map_err(|_| Error::Invalid {
            status: 0,
            code: "MANIFEST_INVALID".into(),
            message: "the manifest's media type can't stand in a header".into(),
        })?;
        let call = Self::manifest(flow, Action::ManifestPut, (name, reference), "");
        let mut call = call.write(Method::PUT, &[201, 200, 204, 202]);
        call.headers.insert(CONTENT_TYPE, media_type);
        call.cargo = Cargo::Whole(manifest.bytes);
        Ok(call)
    }

    /// `DELETE` of a manifest, or of a tag.
    pub(in crate::registry) fn manifest_delete(
        flow: FlowId,
        name: &Name,
        reference: &Reference,
    ) -> Self {
        let call = Self::manifest(flow, Action::Delete, (name, reference), "");
        let mut call = call.write(Method::DELETE, &[202, 200, 204]);
        call.subject.access = Access::Delete;
        call
    }

    /// `POST` of a project, which Harbor takes from a name and a password; one that is there is as
    /// good as one that was made.
    pub(in crate::registry) fn harbor_project(flow: FlowId, project: &str) -> Self {
        let path = "/api/v2.0/projects".to_owned();
        let mut call = Self::new(flow, Action::Other, path).write(Method::POST, &[201, 409]);
        call.subject.access = Access::Login;
        let json = HeaderValue::from_static("application/json");
        call.headers.insert(CONTENT_TYPE, json);
        let body = serde_json::json!({"project_name": project, "public": false});
        call.cargo = Cargo::Whole(body.to_string().into());
        call
    }
}
