//! What a Quay has, by its API: a namespace with the dates of its repositories, so that those that
//! are too old cost nothing more, and tags with digests and dates, so that none has to be asked about.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::PoisonError;

use futures_util::Stream;
use futures_util::StreamExt as _;
use futures_util::stream;
use globset::Glob;
use globset::GlobMatcher;
use jiff::Timestamp;

use super::Asked;
use crate::flow;
use crate::ledger::FlowId;
use crate::oci::Reference;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::oci::UpstreamName;
use crate::prefetch::Listed;
use crate::prefetch::Wanted;
use crate::registry;
use crate::registry::quay;
use crate::registry::quay::TagsOf;

/// So many repositories are asked about at a time; the registry's window may let fewer through.
const AT_ONCE: usize = 16;
/// So many tags are asked for one by one; for more of them, the list costs less.
const ONE_BY_ONE: usize = 5;
/// So many pages of a list are read, at most: a hundred entries each.
const MOST_PAGES: u64 = 10_000;

/// Tells what a Quay has, by its API.
pub(super) async fn discover(asked: Asked<'_>, upstream: &UpstreamName, pattern: &str) {
    let namespace = match Namespace::new(asked, upstream, pattern) {
        Ok(namespace) => namespace,
        Err(why) => return asked.failed(format!("{upstream}/{pattern}"), why).await,
    };
    let repositories = namespace.repositories();
    repositories
        .for_each_concurrent(AT_ONCE, |found| namespace.tell(found))
        .await;
    namespace.close().await;
}

/// One namespace, being discovered.
struct Namespace<'a> {
    asked: Asked<'a>,
    upstream: &'a UpstreamName,
    name: &'a str,
    pattern: &'a str,
    matcher: GlobMatcher,
    flow: FlowId,
    seen: Mutex<Seen>,
}

/// What there was.
#[derive(Default)]
struct Seen {
    /// How many repositories the namespace has.
    listed: u64,
    /// How many of them fit the pattern.
    fitting: u64,
    /// Tags that are wanted by their names, and were found in one of them.
    tags: BTreeSet<Tag>,
    /// Whether something could not be asked.
    has_failed: bool,
}

/// A page that was asked for.
type Page = Result<Vec<quay::Repository>, flow::Error>;

impl<'a> Namespace<'a> {
    fn new(asked: Asked<'a>, upstream: &'a UpstreamName, pattern: &'a str) -> Result<Self, String> {
        let is_glob = |c: char| matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\');
        let name = match pattern.split_once('/') {
            Some((name, _)) if !name.contains(is_glob) => name,
            _ => {
                return Err(format!(
                    "Quay lists the repositories of one namespace: name it, as in \
                     {upstream}/NAMESPACE/*"
                ));
            }
        };
        let glob = Glob::new(pattern).map_err(|error| error.kind().to_string())?;
        Ok(Self {
            asked,
            upstream,
            name,
            pattern,
            matcher: glob.compile_matcher(),
            flow: asked.cause,
            seen: Mutex::default(),
        })
    }

    /// Its repositories as they come, page after page. After an error there is nothing more.
    fn repositories(&self) -> impl Stream<Item = Result<quay::Repository, flow::Error>> {
        let first = Some((1, None));
        let pages = stream::unfold(first, move |page: Option<(u64, _)>| async move {
            let (number, token) = page?;
            let (found, next) = self.page(token).await;
            let next = next.filter(|_| number < MOST_PAGES);
            Some((found, next.map(|token| (number + 1, Some(token)))))
        });
        pages.flat_map(|page| {
            stream::iter(match page {
                Ok(repositories) => repositories.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
        })
    }

    async fn page(&self, page: Option<String>) -> (Page, Option<String>) {
        let which = (self.name, page.as_deref());
        let asked = self.asked.flow();
        match asked
            .quay_repositories(self.upstream, which, self.flow)
            .await
        {
            Ok(found) => {
                // A token that leads to itself would be followed for ever.
                let next = found.next.filter(|next| Some(next) != page.as_ref());
                (Ok(found.repositories), next)
            }
            Err(error) => (Err(error), None),
        }
    }

    async fn tell(&self, found: Result<quay::Repository, flow::Error>) {
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.failed(self.what(), explained(&error)).await,
        };
        let fits = self.matcher.is_match(found.name.as_str());
        self.note(|seen| {
            seen.listed += 1;
            seen.fitting += u64::from(fits);
        });
        if !fits || self.is_too_old(&found) {
            return;
        }
        let repository = Repository::new(self.upstream.clone(), found.name);
        let told = match self.asked.set.tags.literal() {
            Some(tags) if tags.len() <= ONE_BY_ONE => self.named(&repository, tags).await,
            literal => self.listed(&repository, literal).await,
        };
        if let Err(error) = told {
            self.failed(repository.to_string(), explained(&error)).await;
        }
    }

    /// Whether no tag of it was set since the set wants them.
    fn is_too_old(&self, found: &quay::Repository) -> bool {
        let since = self.asked.set.tags.since(self.asked.now);
        let is_older = |(since, last): (Timestamp, Timestamp)| last < since;
        since.zip(found.modified).is_some_and(is_older)
    }

    /// Asks for each of `tags`. It is no failure that a repository has not all of them.
    async fn named(&self, repository: &Repository, tags: &[Tag]) -> Result<(), flow::Error> {
        for tag in tags {
            let asked = self.asked.flow();
            let found = asked.quay_tags(repository, TagsOf::One(tag), self.flow);
            let found = found.await?.tags.into_iter().find(|it| it.tag == *tag);
            if let Some(found) = found {
                self.wanted(repository, found).await;
            }
        }
        Ok(())
    }

    /// Asks for all tags; where some are wanted by their names, only those are told.
    async fn listed(
        &self,
        repository: &Repository,
        literal: Option<&[Tag]>,
    ) -> Result<(), flow::Error> {
        let mut all = Vec::new();
        for page in 1..=MOST_PAGES {
            let asked = self.asked.flow();
            let found = asked.quay_tags(repository, TagsOf::Page(page), self.flow);
            let found = found.await?;
            let is_end = !found.has_more || found.tags.is_empty();
            all.extend(found.tags);
            if is_end {
                break;
            }
        }
        match literal {
            Some(tags) => {
                for found in all.into_iter().filter(|found| tags.contains(&found.tag)) {
                    self.wanted(repository, found).await;
                }
            }
            None => {
                let listed = all.into_iter().map(|found| Listed {
                    tag: found.tag,
                    pushed: found.modified,
                    digest: found.digest,
                });
                self.asked.listed(repository, listed.collect()).await;
            }
        }
        Ok(())
    }

    async fn wanted(&self, repository: &Repository, found: quay::Tagged) {
        self.note(|seen| seen.tags.insert(found.tag.clone()));
        let immutable = &self.asked.set.immutable;
        let wanted = Wanted {
            repository: repository.clone(),
            immutable: immutable.iter().any(|it| it.fits(found.tag.as_str())),
            reference: Reference::Tag(found.tag.clone()),
            tag: Some(found.tag),
            digest: found.digest,
        };
        self.asked.wanted(wanted).await;
    }

    /// Tells what nobody would miss otherwise: a name that is written wrong finds nothing.
    async fn close(&self) {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        if seen.has_failed {
            return;
        }
        let (what, name) = (self.what(), self.name);
        if seen.listed == 0 {
            let why = format!(
                "Quay shows no repository of the namespace '{name}': there is none, or they are \
                 private, and then they take an OAuth access token as the upstream's `credentials`: \
                 as a token, or as the password of the user name $oauthtoken (a robot account opens \
                 no list)"
            );
            return self.asked.failed(what, why).await;
        }
        if seen.fitting == 0 {
            let listed = seen.listed;
            let why = format!("none of the {listed} repositories of '{name}' fits the pattern");
            return self.asked.failed(what, why).await;
        }
        for tag in self.asked.set.tags.literal().unwrap_or_default() {
            if !seen.tags.contains(tag) {
                let why = "no repository has this tag".to_owned();
                self.asked.failed(format!("{what}:{tag}"), why).await;
            }
        }
    }

    async fn failed(&self, what: String, why: String) {
        self.note(|seen| seen.has_failed = true);
        self.asked.failed(what, why).await;
    }

    fn note<T>(&self, what: impl FnOnce(&mut Seen) -> T) {
        what(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn what(&self) -> String {
        format!("{}/{}", self.upstream, self.pattern)
    }
}

/// Why Quay told nothing, and what is to be done about it.
fn explained(error: &flow::Error) -> String {
    match advice(error) {
        Some(advice) => format!("{error}; {advice}"),
        None => error.to_string(),
    }
}

fn advice(error: &flow::Error) -> Option<&'static str> {
    use registry::Error::{NotFound, Refused, Throttled, Wrong};
    let said = match error {
        flow::Error::Ping { error, .. } | flow::Error::Upstream { error, .. } => error,
        flow::Error::NoRepository(..) => return Some("it was there a moment ago, and is gone"),
        _ => return None,
    };
    match said {
        NotFound { .. } | Wrong(_) => {
            Some("is this a Quay? Where Quay's API is not, name the repositories one by one")
        }
        Refused { .. } => Some(
            "Quay's API takes an OAuth access token as the upstream's `credentials`: as a token, or \
             as the password of the user name $oauthtoken; a robot account opens no list",
        ),
        Throttled { .. } => Some("a `rate` for this upstream keeps below what it allows"),
        _ => None,
    }
}
