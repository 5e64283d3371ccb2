//! The actions of the distribution specification, each a method of [`Registry`].

use std::ops::Range;
use std::sync::Arc;

use http::HeaderValue;
use http::Method;
use http::StatusCode;
use url::Url;

use super::Error;
use super::FetchedBlob;
use super::FetchedManifest;
use super::Listing;
use super::ManifestHead;
use super::Registry;
use super::exchange::Answer;
use super::exchange::Request;
use super::retry::is_outage;
use super::retry::is_retryable;
use super::retry::pauses;
use crate::ledger::Action;
use crate::ledger::FlowId;
use crate::oci::Algorithm;
use crate::oci::Digest;
use crate::oci::Hasher;
use crate::oci::Name;
use crate::oci::Reference;
use crate::oci::media;

/// The longest manifest, in bytes: twice what the distribution spec asks registries to take.
const LONGEST_MANIFEST: usize = 8 << 20;
/// The longest page of a list, in bytes.
const LONGEST_LIST: usize = 32 << 20;

/// What is asked, before it has a host and a signature.
struct Question<'a> {
    flow: FlowId,
    action: Action,
    method: Method,
    name: Option<&'a Name>,
    /// The path behind the name.
    path: String,
    query: &'a str,
    reference: &'a str,
    accept: &'a str,
    range: Option<HeaderValue>,
}

impl<'a> Question<'a> {
    fn new(flow: FlowId, action: Action, name: Option<&'a Name>, path: String) -> Self {
        let method = match action {
            Action::ManifestHead | Action::BlobHead => Method::HEAD,
            _ => Method::GET,
        };
        let (query, reference, accept, range) = ("", "", "", None);
        Self {
            flow,
            action,
            method,
            name,
            path,
            query,
            reference,
            accept,
            range,
        }
    }

    fn of_manifest(mut self, reference: &'a Reference, accept: &'a str) -> Self {
        self.path = format!("manifests/{reference}");
        (self.reference, self.accept) = (reference.as_str(), accept);
        self
    }
}

impl Registry {
    /// `GET /v2/`, signed in where the registry asks for it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ping(&self, flow: FlowId) -> Result<(), Error> {
        self.ask(&Question::new(flow, Action::Ping, None, String::new()))
            .await
            .map(|_| ())
    }

    /// `HEAD /v2/<name>/manifests/<reference>`, with `accept` as `Accept` (none where empty).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn manifest_head(
        &self,
        flow: FlowId,
        name: &Name,
        reference: &Reference,
        accept: &str,
    ) -> Result<ManifestHead, Error> {
        let question = Question::new(flow, Action::ManifestHead, Some(name), String::new());
        let answer = self.ask(&question.of_manifest(reference, accept)).await?;
        Ok(ManifestHead {
            media_type: answer.header("content-type").map(Arc::from),
            digest: answer
                .header("docker-content-digest")
                .and_then(|text| text.parse().ok()),
            size: answer
                .header("content-length")
                .and_then(|text| text.parse().ok()),
        })
    }

    /// `GET /v2/<name>/manifests/<reference>`; at most 8 MiB of it.
    ///
    /// # Errors
    /// See [`Error`]; `Wrong` where the bytes are not what their digest says.
    pub async fn manifest_get(
        &self,
        flow: FlowId,
        name: &Name,
        reference: &Reference,
        accept: &str,
    ) -> Result<FetchedManifest, Error> {
        let question = Question::new(flow, Action::ManifestGet, Some(name), String::new());
        let mut answer = self.ask(&question.of_manifest(reference, accept)).await?;
        let told = answer
            .header("docker-content-digest")
            .and_then(|text| text.parse().ok());
        let media_type = answer.header("content-type").map(Arc::from);
        let Some(bytes) = answer.body.collect(LONGEST_MANIFEST).await? else {
            return Err(Error::Wrong(format!(
                "a manifest of over {LONGEST_MANIFEST} bytes"
            )));
        };
        let asked = match reference {
            Reference::Digest(digest) => Some(digest.clone()),
            Reference::Tag(_) => None,
        };
        let expected: Option<Digest> = asked.or(told);
        let algorithm = expected
            .as_ref()
            .map_or(Algorithm::Sha256, Digest::algorithm);
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&bytes);
        let digest = hasher.finish();
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            return Err(Error::Wrong(format!(
                "the manifest {expected} has the digest {digest}"
            )));
        }
        let media_type = media_type.unwrap_or_else(|| media::of_manifest(&bytes).into());
        Ok(FetchedManifest {
            media_type,
            digest,
            bytes,
        })
    }

    /// `HEAD /v2/<name>/blobs/<digest>`: its size, where the registry said it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn blob_head(
        &self,
        flow: FlowId,
        name: &Name,
        digest: &Digest,
    ) -> Result<Option<u64>, Error> {
        let path = format!("blobs/{digest}");
        let mut question = Question::new(flow, Action::BlobHead, Some(name), path);
        question.reference = digest.as_str();
        let answer = self.ask(&question).await?;
        Ok(answer
            .header("content-length")
            .and_then(|text| text.parse().ok()))
    }

    /// `GET /v2/<name>/blobs/<digest>`, redirects followed; with `Range: bytes=start-(end-1)` for
    /// a range, open-ended where its end is `u64::MAX`. Only the header is awaited and retried.
    ///
    /// # Errors
    /// See [`Error`]; `Wrong` where another part came than was asked for.
    pub async fn blob_get(
        &self,
        flow: FlowId,
        name: &Name,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<FetchedBlob, Error> {
        let path = format!("blobs/{digest}");
        let mut question = Question::new(flow, Action::BlobGet, Some(name), path);
        question.reference = digest.as_str();
        question.range = range.as_ref().and_then(|range| {
            let end = match range.end {
                u64::MAX => String::new(),
                end => end.saturating_sub(1).to_string(),
            };
            HeaderValue::from_str(&format!("bytes={}-{end}", range.start)).ok()
        });
        let answer = self.ask(&question).await?;
        if answer.status != StatusCode::PARTIAL_CONTENT {
            let total = answer
                .header("content-length")
                .and_then(|text| text.parse().ok());
            return Ok(FetchedBlob {
                offset: 0,
                partial: false,
                total,
                body: answer.body,
            });
        }
        let told = answer.header("content-range").unwrap_or_default();
        let part = content_range(told);
        match part.filter(|(start, _)| range.as_ref().is_some_and(|range| range.start == *start)) {
            Some((offset, total)) => Ok(FetchedBlob {
                offset,
                partial: true,
                total,
                body: answer.body,
            }),
            None => Err(Error::Wrong(format!(
                "another part than was asked for ('{told}')"
            ))),
        }
    }

    /// `GET /v2/<name>/tags/list?<query>`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn tag_list(&self, flow: FlowId, name: &Name, query: &str) -> Result<Listing, Error> {
        let mut question = Question::new(flow, Action::TagList, Some(name), "tags/list".into());
        question.query = query;
        listing(self.ask(&question).await?).await
    }

    /// `GET /v2/<name>/referrers/<digest>?<query>`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn referrers(
        &self,
        flow: FlowId,
        name: &Name,
        digest: &Digest,
        query: &str,
    ) -> Result<Listing, Error> {
        let path = format!("referrers/{digest}");
        let mut question = Question::new(flow, Action::Referrers, Some(name), path);
        (question.query, question.reference) = (query, digest.as_str());
        question.accept = media::OCI_INDEX;
        listing(self.ask(&question).await?).await
    }

    /// Asks the registry, then, while it is out, each of its fallbacks.
    async fn ask(&self, question: &Question<'_>) -> Result<Answer, Error> {
        let mut outcome = self.persist(&self.config.url, question).await;
        for fallback in &self.config.fallback {
            match &outcome {
                Err(error) if is_outage(error) => {
                    tracing::warn!(registry = %self.config.name, %fallback, "{error}; asking the fallback");
                }
                _ => break,
            }
            outcome = self.persist(fallback, question).await;
        }
        outcome
    }

    /// Asks one host, again where that may help and the budget allows it.
    async fn persist(&self, base: &Url, question: &Question<'_>) -> Result<Answer, Error> {
        self.budget.earn();
        let mut pauses = pauses(&self.config.retries);
        let mut late = 0;
        loop {
            let error = match self.signed(base, question).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            late += usize::from(matches!(error, Error::TimedOut(_)));
            let Some(mut pause) = pauses.next().filter(|_| is_retryable(&error) && late < 2) else {
                return Err(error);
            };
            if let Error::Throttled {
                retry_after: Some(asked),
            } = &error
            {
                if *asked > self.config.retries.cap {
                    return Err(error);
                }
                pause = *asked;
            }
            if !self.budget.spend() {
                return Err(error);
            }
            tracing::debug!(registry = %self.config.name, ?pause, "trying again: {error}");
            tokio::time::sleep(pause).await;
        }
    }

    /// One attempt, and one more where the registry wants another signature.
    async fn signed(&self, base: &Url, question: &Question<'_>) -> Result<Answer, Error> {
        let permit = match &self.permits {
            None => None,
            Some(permits) => permits.clone().acquire_owned().await.ok(),
        };
        let mut request = self.request(base, question);
        let parts = (&self.config, &self.wire);
        request.authorization = self
            .sign_in
            .header(parts, question.flow, question.name)
            .await?;
        let answer = self.wire.send(request.clone(), permit).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return answer.succeed().await;
        }
        let sent = request.authorization.as_ref();
        if !self
            .sign_in
            .refused(&answer.headers, question.name, sent)
            .await
        {
            return answer.succeed().await;
        }
        let Answer { mut body, .. } = answer;
        let permit = body.give_up();
        request.authorization = self
            .sign_in
            .header(parts, question.flow, question.name)
            .await?;
        self.wire.send(request, permit).await?.succeed().await
    }

    fn request(&self, base: &Url, question: &Question<'_>) -> Request {
        let mut url = base.clone();
        let prefix = base.path().trim_end_matches('/');
        let name = question
            .name
            .map_or(String::new(), |name| format!("{name}/"));
        url.set_path(&format!("{prefix}/v2/{name}{}", question.path));
        url.set_query(Some(question.query).filter(|query| !query.is_empty()));
        let accept = Some(question.accept).filter(|accept| !accept.is_empty());
        Request {
            flow: question.flow,
            action: question.action,
            method: question.method.clone(),
            url,
            repository: question
                .name
                .map_or_else(Arc::default, |name| name.as_str().into()),
            reference: question.reference.into(),
            accept: accept.and_then(|accept| HeaderValue::from_str(accept).ok()),
            range: question.range.clone(),
            authorization: None,
            form: None,
        }
    }
}

/// `Content-Range: bytes <start>-<end>/<total>` (RFC 9110, section 14.4): start and total.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, total.parse().ok()))
}

async fn listing(mut answer: Answer) -> Result<Listing, Error> {
    let media_type = answer
        .header("content-type")
        .unwrap_or("application/json")
        .into();
    let next = answer.header("link").and_then(next_page);
    let filters = answer.header("oci-filters-applied").map(String::from);
    match answer.body.collect(LONGEST_LIST).await? {
        Some(bytes) => Ok(Listing {
            bytes,
            media_type,
            next,
            filters,
        }),
        None => Err(Error::Wrong(format!("a list of over {LONGEST_LIST} bytes"))),
    }
}

/// The query of the next page (RFC 8288: `</v2/...?n=1&last=x>; rel="next"`).
fn next_page(link: &str) -> Option<String> {
    link.split(',').find_map(|link| {
        let (target, params) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |param: &str| matches!(param.trim(), r#"rel="next""# | "rel=next");
        if !params.split(';').any(is_next) {
            return None;
        }
        Some(target.split_once('?')?.1.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_next_page() {
        let link = r#"</v2/a/b/tags/list?last=x%2Fy&n=2>; rel="next""#;
        assert_eq!(next_page(link).as_deref(), Some("last=x%2Fy&n=2"));
        assert_eq!(
            next_page("<https://h/v2/a?n=1>; rel=next").as_deref(),
            Some("n=1")
        );
        assert_eq!(next_page(r#"</v2/a?n=1>; rel="prev""#), None);
        assert_eq!(next_page("nonsense"), None);
    }

    #[test]
    fn reads_content_ranges() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        assert_eq!(content_range("bytes */10"), None);
        assert_eq!(content_range("lines 1-2/3"), None);
    }
}
