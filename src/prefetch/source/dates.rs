use std::fmt;

use futures_util::StreamExt as _;
use futures_util::stream;
use jiff::Timestamp;
use moka::sync::Cache;
use serde::Deserialize;

use super::Asked;
use super::Judged;
use super::Listed;
use crate::oci::Digest;
use crate::oci::Index;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::prefetch::TagSet;
use crate::prefetch::tag_set::Judging;
use crate::target::Cause;
use crate::target::Pace;

/// When images were built, by their digests.
#[derive(Clone)]
pub(super) struct Dates(Cache<Digest, Built>);

/// What an image says of its time; `None` where it says nothing that can be true.
type Built = Option<Timestamp>;

/// So many are remembered.
const REMEMBERED: u64 = 20_000;
/// So many images of one repository are asked about at a time.
const AT_ONCE: usize = 8;
/// The most that is read of a config.
const LONGEST: u64 = 8 << 20;
/// Builds that are made to be repeated say 1970, or a little later: it is no date.
const FIRST: &str = "1981-01-01T00:00:00Z";

impl Default for Dates {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl fmt::Debug for Dates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dates").field(&self.0.entry_count()).finish()
    }
}

impl Asked<'_> {
    /// A verdict for each of `listed`, and its digest, where it is known. What could not be asked is
    /// told as failed.
    pub(super) async fn judged(
        &self,
        repository: &Repository,
        listed: &[Listed],
    ) -> Vec<(Judged, Option<Digest>)> {
        let mut digests: Vec<_> = listed.iter().map(|it| it.digest.clone()).collect();
        let judged = match &self.set.tags {
            TagSet::Chosen(filter) => {
                let mut judging = Judging::new(filter, listed, self.now);
                loop {
                    let undated = judging.undated();
                    if undated.is_empty() {
                        break judging.verdicts();
                    }
                    let ask = |index: usize| self.dated(repository, (index, &listed[index]));
                    let mut dated = stream::iter(undated).map(ask).buffer_unordered(AT_ONCE);
                    while let Some((index, digest, date)) = dated.next().await {
                        digests[index] = digest.or_else(|| digests[index].take());
                        judging.tell(index, date);
                    }
                }
            }
            literal @ TagSet::Literal(_) => literal.judge(listed, self.now),
        };
        judged.into_iter().zip(digests).collect()
    }

    /// When a tag's image was built, and the digest that was learned on the way.
    async fn dated(
        &self,
        repository: &Repository,
        (index, listed): (usize, &Listed),
    ) -> (usize, Option<Digest>, Result<Timestamp, String>) {
        let cause = Cause {
            flow: self.cause,
            pace: Pace::Background,
            ours: true,
        };
        let image = Image {
            asked: *self,
            repository,
            cause,
        };
        let digest = match &listed.digest {
            Some(digest) => Ok(digest.clone()),
            None => image.resolved(&listed.tag).await,
        };
        let built = match &digest {
            Ok(digest) => image.built(digest).await,
            Err(why) => Err(why.clone()),
        };
        let date = match built {
            Ok(Some(date)) => Ok(date),
            Ok(None) => Err("the image does not say when it was built".to_owned()),
            Err(why) => {
                let what = format!("{repository}:{}", listed.tag);
                self.failed(what, format!("its date is not to be had: {why}"))
                    .await;
                Err(why)
            }
        };
        (index, digest.ok(), date)
    }
}

/// One image, whose date is asked for.
struct Image<'a> {
    asked: Asked<'a>,
    repository: &'a Repository,
    cause: Cause,
}

/// What a manifest or an index has of dates.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    annotations: Option<Annotations>,
    config: Option<Entry>,
    #[serde(default)]
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    digest: String,
    #[serde(default)]
    annotations: Option<Annotations>,
}

/// What builders write the time into (image spec, "Annotations").
#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "org.opencontainers.image.created")]
    created: Option<String>,
}

#[derive(Deserialize)]
struct Config {
    created: Option<String>,
}

impl Image<'_> {
    async fn resolved(&self, tag: &Tag) -> Result<Digest, String> {
        let flow = self.asked.flow();
        let resolved = flow.resolve(self.repository, tag, false, self.cause).await;
        let resolved = resolved.map_err(|error| error.to_string())?;
        Ok(resolved.digest)
    }

    /// When it was built, by its annotations, else by its config; of an index, by one of its images.
    async fn built(&self, digest: &Digest) -> Result<Built, String> {
        let known = &self.asked.sources.dates.0;
        if let Some(built) = known.get(digest) {
            return Ok(built);
        }
        let built = self.read(digest).await?;
        known.insert(digest.clone(), built);
        Ok(built)
    }

    async fn read(&self, digest: &Digest) -> Result<Built, String> {
        let (bytes, document) = self.document(digest).await?;
        if let Some(built) = written(document.annotations.as_ref()) {
            return Ok(Some(built));
        }
        if document.manifests.is_empty() {
            return self.of_config(document.config.as_ref()).await;
        }
        let Some(chosen) = self.choose(&bytes, &document) else {
            return Ok(None);
        };
        if let Some(built) = written(chosen.annotations.as_ref()) {
            return Ok(Some(built));
        }
        let digest = chosen.digest.parse::<Digest>();
        let digest = digest.map_err(|error| error.to_string())?;
        let (_, document) = self.document(&digest).await?;
        match written(document.annotations.as_ref()) {
            Some(built) => Ok(Some(built)),
            None => self.of_config(document.config.as_ref()).await,
        }
    }

    async fn document(&self, digest: &Digest) -> Result<(Vec<u8>, Document), String> {
        let supply = self.asked.flow().supply();
        let manifest = supply.manifest(self.repository, digest, self.cause).await;
        let bytes = manifest.map_err(|missing| missing.to_string())?.bytes;
        let document = serde_json::from_slice(&bytes);
        let document = document.map_err(|error| format!("its manifest is none: {error}"))?;
        Ok((bytes.to_vec(), document))
    }

    /// The image of an index that is asked when it was built: of a platform that the set wants, else
    /// of the first one.
    fn choose<'d>(&self, bytes: &[u8], document: &'d Document) -> Option<&'d Entry> {
        let index = Index::parse(bytes)?;
        let wanted = self.asked.set.platforms.first();
        let chosen = wanted.and_then(|platform| index.one(Some(platform)).ok());
        let is_image = |entry: &&Entry| {
            let digest = entry.digest.parse::<Digest>().ok();
            digest.is_some_and(|digest| match &chosen {
                Some(chosen) => digest == *chosen,
                None => index.is_image(&digest),
            })
        };
        document.manifests.iter().find(is_image)
    }

    async fn of_config(&self, config: Option<&Entry>) -> Result<Built, String> {
        let Some(config) = config else {
            return Ok(None);
        };
        let digest = config.digest.parse::<Digest>();
        let digest = digest.map_err(|error| error.to_string())?;
        let supply = self.asked.flow().supply();
        let content = supply.blob(self.repository, &digest, self.cause).await;
        let content = content.map_err(|missing| missing.to_string())?;
        if content.size > LONGEST {
            return Ok(None);
        }
        let mut chunks = content.chunks;
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.next().await {
            bytes.extend_from_slice(&chunk.map_err(|error| error.to_string())?);
        }
        // An artifact's config may be anything.
        let config = serde_json::from_slice::<Config>(&bytes).ok();
        Ok(config.and_then(|config| moment(&config.created?)))
    }
}

fn written(annotations: Option<&Annotations>) -> Built {
    moment(annotations?.created.as_ref()?)
}

fn moment(text: &str) -> Built {
    let first: Timestamp = FIRST.parse().ok()?;
    text.parse().ok().filter(|moment| *moment >= first)
}
