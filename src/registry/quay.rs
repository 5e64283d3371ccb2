//! Quay's own API, as far as it tells more than the registry's: which repositories a namespace has,
//! when they last changed, and the digests and dates of their tags.
//!
//! What may be seen is what anybody may, and what the configured access token opens: one that is
//! configured as a token, or as the password of `$oauthtoken`. Robot accounts are nobody there.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Error;
use super::Registry;
use super::action::Call;
use super::body::Gathered;
use crate::ledger::Fate;
use crate::ledger::FlowId;
use crate::ledger::Reason;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Tag;

/// A page of a namespace's repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repositories {
    /// Those that can be pulled from.
    pub repositories: Vec<Repository>,
    /// What the next page is asked for with, where there is one.
    pub next: Option<String>,
}

/// A repository, as Quay lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// `<namespace>/<name>`.
    pub name: Name,
    /// When one of its tags was last set; `None` where Quay does not say.
    pub modified: Option<Timestamp>,
}

/// Which tags of a repository are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagsOf<'a> {
    /// This page of all of them; the first is 1.
    Page(u64),
    /// Only this one.
    One(&'a Tag),
}

/// A page of a repository's tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// Those that have not expired.
    pub tags: Vec<Tagged>,
    /// Whether there is another page.
    pub has_more: bool,
}

/// A tag, as Quay lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// What it is called.
    pub tag: Tag,
    /// What it points to; `None` where Quay does not say.
    pub digest: Option<Digest>,
    /// When it was set to that; `None` where Quay does not say.
    pub modified: Option<Timestamp>,
}

impl Registry {
    /// `GET /api/v1/repository?namespace=...`: the page of `namespace` that `page` says, the first
    /// without one. A namespace that does not exist looks like one in which nobody may see anything:
    /// there is nothing in it.
    ///
    /// # Errors
    /// As any request's: `NotFound` (or another refusal) where the registry is no Quay, `Wrong` where
    /// what comes is no such list.
    pub async fn quay_repositories(
        &self,
        flow: FlowId,
        namespace: &str,
        page: Option<&str>,
    ) -> Result<Repositories, Error> {
        let call = Call::quay_repositories(flow, namespace, page);
        let page: RepositoriesPage = self.api(&call).await?;
        Ok(page.read())
    }

    /// `GET /api/v1/repository/<name>/tag/?onlyActiveTags=true...`.
    ///
    /// # Errors
    /// As any request's; `Refused` also where there is no such repository and nobody is signed in.
    pub async fn quay_tags(
        &self,
        flow: FlowId,
        name: &Name,
        which: TagsOf<'_>,
    ) -> Result<Tags, Error> {
        let page: TagsPage = self.api(&Call::quay_tags(flow, name, which)).await?;
        Ok(page.read(Timestamp::now()))
    }

    /// Asks the main endpoint alone: what it has as its own API no fallback has.
    async fn api<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Error> {
        let answer = self.attempts(self.main()?, call).await?;
        let (_, Gathered { bytes, mut unspent }) = answer.gathered();
        let read = serde_json::from_slice(&bytes);
        unspent.spend_all(match &read {
            Ok(_) => Fate::Passed,
            Err(_) => Fate::Discarded(Reason::Mismatch),
        });
        read.map_err(|error| Error::Wrong(format!("this is no list of Quay's API: {error}")))
    }
}

#[derive(Deserialize)]
struct RepositoriesPage {
    repositories: Vec<RepositoryEntry>,
    next_page: Option<String>,
}

#[derive(Deserialize)]
struct RepositoryEntry {
    namespace: String,
    name: String,
    /// In seconds since 1970.
    last_modified: Option<i64>,
    /// `image`, where it is not said.
    kind: Option<String>,
}

impl RepositoriesPage {
    /// Names that no registry can have are left out: nothing could be pulled from there.
    fn read(self) -> Repositories {
        let is_image = |it: &RepositoryEntry| it.kind.as_deref().is_none_or(|it| it == "image");
        let read = |it: RepositoryEntry| {
            let name = format!("{}/{}", it.namespace, it.name).parse();
            Some(Repository {
                name: name
                    .inspect_err(|error| tracing::warn!("Quay lists a repository: {error}"))
                    .ok()?,
                modified: it.last_modified.and_then(seconds),
            })
        };
        let images = self.repositories.into_iter().filter(is_image);
        Repositories {
            repositories: images.filter_map(read).collect(),
            next: self.next_page.filter(|page| !page.is_empty()),
        }
    }
}

#[derive(Deserialize)]
struct TagsPage {
    tags: Vec<TagEntry>,
    #[serde(default)]
    has_additional: bool,
}

#[derive(Deserialize)]
struct TagEntry {
    name: String,
    manifest_digest: Option<String>,
    /// As mails have it (RFC 2822).
    last_modified: Option<String>,
    expiration: Option<String>,
    /// The same times, in seconds since 1970.
    start_ts: Option<i64>,
    end_ts: Option<i64>,
}

impl TagsPage {
    fn read(self, now: Timestamp) -> Tags {
        let read = |it: TagEntry| {
            let ends = time(it.end_ts, it.expiration.as_deref());
            if ends.is_some_and(|ends| ends <= now) {
                return None;
            }
            Some(Tagged {
                tag: it.name.parse().ok()?,
                digest: it.manifest_digest.and_then(|digest| digest.parse().ok()),
                modified: time(it.start_ts, it.last_modified.as_deref()),
            })
        };
        Tags {
            tags: self.tags.into_iter().filter_map(read).collect(),
            has_more: self.has_additional,
        }
    }
}

fn seconds(since: i64) -> Option<Timestamp> {
    Timestamp::from_second(since).ok()
}

fn time(since: Option<i64>, mail: Option<&str>) -> Option<Timestamp> {
    let exact = since.and_then(seconds);
    exact.or_else(|| Some(rfc2822::parse(mail?).ok()?.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_repositories() {
        let json = r#"{"repositories":[
            {"namespace":"openstack.kolla","name":"nova-api","description":null,"is_public":true,
             "kind":"image","state":"NORMAL","last_modified":1774047466},
            {"namespace":"openstack.kolla","name":"empty","kind":"image","last_modified":null},
            {"namespace":"openstack.kolla","name":"chart","kind":"application"},
            {"namespace":"openstack.kolla","name":"Not A Name","kind":"image"}],
            "next_page":"gAAAAABp"}"#;
        let page: RepositoriesPage = serde_json::from_str(json).unwrap();
        let page = page.read();
        let names: Vec<_> = page
            .repositories
            .iter()
            .map(|it| it.name.as_str())
            .collect();
        assert_eq!(names, ["openstack.kolla/nova-api", "openstack.kolla/empty"]);
        let modified = page.repositories[0].modified.map(|it| it.to_string());
        assert_eq!(modified.as_deref(), Some("2026-03-20T22:57:46Z"));
        assert_eq!(page.repositories[1].modified, None);
        assert_eq!(page.next.as_deref(), Some("gAAAAABp"));
        let last: RepositoriesPage = serde_json::from_str(r#"{"repositories":[]}"#).unwrap();
        assert_eq!(last.read(), Repositories::default());
    }

    #[test]
    fn reads_tags_that_have_not_expired() {
        let digest = Digest::of(b"");
        let tag = |name: &str, rest: &str| {
            format!(r#"{{"name":"{name}","manifest_digest":"{digest}","size":1{rest}}}"#)
        };
        let json = [
            tag(
                "by-mail",
                r#","last_modified":"Fri, 20 Mar 2026 22:57:46 -0000""#,
            ),
            tag(
                "by-number",
                r#","start_ts":1774047466,"last_modified":"nonsense""#,
            ),
            tag("undated", ""),
            tag("over", r#","expiration":"Fri, 20 Mar 2026 22:57:46 -0000""#),
            tag("lasting", r#","end_ts":1774047468"#),
            tag("no tag", ""),
        ];
        let json = json.join(",");
        let json = format!(r#"{{"tags":[{json}],"page":1,"has_additional":true}}"#);
        let page: TagsPage = serde_json::from_str(&json).unwrap();
        let then = Timestamp::from_second(1_774_047_466).unwrap();
        let page = page.read(then + jiff::SignedDuration::from_secs(1));
        let read = |it: &Tagged| (it.tag.to_string(), it.modified == Some(then));
        let read: Vec<_> = page.tags.iter().map(read).collect();
        let expected = [
            ("by-mail", true),
            ("by-number", true),
            ("undated", false),
            ("lasting", false),
        ];
        assert_eq!(read, expected.map(|(name, dated)| (name.to_owned(), dated)));
        assert!(
            page.tags
                .iter()
                .all(|it| it.digest.as_ref() == Some(&digest))
        );
        assert!(page.has_more);
    }
}
