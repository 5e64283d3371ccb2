//! Images on their way into a registry.

use std::fmt;

use http::Method;
use url::Url;

use crate::client::Client;
use crate::client::ClientError;
use crate::client::Reply;
use crate::client::RequestBuilder;
use crate::image::Image;
use crate::image::Part;
use crate::upstream::Upstream;

/// A registry to push to, by the distribution API: a POST and a PUT a blob.
#[derive(Clone, Debug)]
pub struct Push {
    url: String,
    client: Client,
    authorization: Option<String>,
}

/// Why a push failed.
#[derive(Debug)]
pub struct PushError(String);

impl Push {
    /// To the registry at `url`, with a client that can reach it.
    pub fn to(url: &str, client: Client) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            client,
            authorization: None,
        }
    }

    /// With this `Authorization`, such as `crate::basic("user", "password")`, or `Bearer ` and a
    /// token for pull and push.
    pub fn authorization(mut self, value: &str) -> Self {
        self.authorization = Some(value.to_owned());
        self
    }

    fn request(&self, method: Method, url: impl AsRef<str>) -> RequestBuilder {
        let request = self.client.request(method, url);
        match &self.authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        }
    }

    /// Uploads a blob: a POST and a PUT.
    ///
    /// # Errors
    /// Where the registry can't be reached or refuses it, with its words.
    pub async fn blob(&self, repository: &str, part: &Part) -> Result<(), PushError> {
        let url = format!("{}/v2/{repository}/blobs/uploads/", self.url);
        let begun = created(self.request(Method::POST, &url).send().await, "POST", &url).await?;
        let location = begun.header("location").unwrap_or_default();
        let location = Url::parse(&url).and_then(|url| url.join(location));
        let mut location = location.map_err(|error| PushError(format!("Location: {error}")))?;
        location
            .query_pairs_mut()
            .append_pair("digest", &part.digest);
        let request = self
            .request(Method::PUT, &location)
            .body(part.bytes.clone());
        let request = request.header("content-type", "application/octet-stream");
        created(request.send().await, "PUT", location.as_str()).await?;
        Ok(())
    }

    /// Has the registry take a blob from another repository of it: whether it did.
    ///
    /// # Errors
    /// Where the registry can't be reached or refuses the question, with its words.
    pub async fn mount(
        &self,
        repository: &str,
        digest: &str,
        from: &str,
    ) -> Result<bool, PushError> {
        let url = format!(
            "{}/v2/{repository}/blobs/uploads/?mount={digest}&from={from}",
            self.url
        );
        let reply = created(self.request(Method::POST, &url).send().await, "POST", &url).await?;
        Ok(reply.status == 201)
    }

    /// Puts a manifest under a tag, or under its digest.
    ///
    /// # Errors
    /// Where the registry can't be reached or refuses it, with its words.
    pub async fn manifest(
        &self,
        repository: &str,
        reference: &str,
        part: &Part,
    ) -> Result<(), PushError> {
        let url = format!("{}/v2/{repository}/manifests/{reference}", self.url);
        let request = self.request(Method::PUT, &url).body(part.bytes.clone());
        let request = request.header("content-type", &part.media_type);
        created(request.send().await, "PUT", &url).await?;
        Ok(())
    }
}

async fn created(
    reply: Result<Reply, ClientError>,
    method: &str,
    url: &str,
) -> Result<Reply, PushError> {
    let reply = reply.map_err(|error| PushError(format!("{method} {url}: {error}")))?;
    if reply.status.is_success() {
        return Ok(reply);
    }
    let (status, text) = (reply.status, reply.text().await.unwrap_or_default());
    Err(PushError(format!("{method} {url}: {status}: {text}")))
}

impl Image {
    /// Puts the image into a scripted registry.
    pub fn push_to(&self, upstream: &Upstream, repository: &str, tag: &str) {
        for blob in &self.blobs {
            upstream.put_blob(repository, blob.bytes.clone());
        }
        for part in &self.manifests {
            upstream.put_manifest(
                repository,
                &part.digest,
                &part.media_type,
                part.bytes.clone(),
            );
        }
        let root = &self.root;
        upstream.put_manifest(repository, tag, &root.media_type, root.bytes.clone());
    }

    /// Pushes the image into a real registry. `tag` may be the root's digest.
    ///
    /// # Errors
    /// Where the registry can't be reached or refuses something, with its words.
    pub async fn push_http(
        &self,
        push: &Push,
        repository: &str,
        tag: &str,
    ) -> Result<(), PushError> {
        for blob in &self.blobs {
            push.blob(repository, blob).await?;
        }
        for part in &self.manifests {
            push.manifest(repository, &part.digest, part).await?;
        }
        push.manifest(repository, tag, &self.root).await
    }
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PushError {}
