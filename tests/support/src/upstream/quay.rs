//! Quay's own API (`/api/v1`), as quay.io answers it: the repositories of a namespace in pages of a
//! hundred with opaque tokens, the tags of a repository, alive and dead.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;

use http::StatusCode;
use http::header::AUTHORIZATION;
use serde_json::Value;
use serde_json::json;

use crate::digest::digest_of;
use crate::record::lock;
use crate::server::answer::Answer;
use crate::server::answer::Ask;

/// What a Quay's API tells. All clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Quay(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    /// What opens private repositories.
    token: Option<String>,
    /// Where the next page of a list begins, by its token.
    pages: HashMap<String, usize>,
}

#[derive(Debug, Default)]
struct Repository {
    is_private: bool,
    kind: Option<String>,
    /// Newest first, as Quay lists them.
    tags: Vec<Tag>,
}

#[derive(Clone, Debug)]
struct Tag {
    name: String,
    digest: String,
    is_list: bool,
    /// In seconds since 1970.
    start: i64,
    /// In seconds since 1970; `None` for ever.
    end: Option<i64>,
}

/// So many repositories are on a page, whatever is asked for.
const PAGE: usize = 100;
/// So many tags are on a page at most.
const MOST_TAGS: usize = 100;

impl Quay {
    /// Makes a repository that has no tags: Quay says no date of it.
    pub fn repository(&self, name: &str) {
        lock(&self.0)
            .repositories
            .entry(name.to_owned())
            .or_default();
    }

    /// Makes a repository of Helm charts, as `kind`: `application`.
    pub fn other_kind(&self, name: &str, kind: &str) {
        self.repository(name);
        self.write(name, |it| it.kind = Some(kind.to_owned()));
    }

    /// Lets only who has the token see the repository.
    pub fn make_private(&self, name: &str) {
        self.write(name, |it| it.is_private = true);
    }

    /// What opens private repositories from now on.
    pub fn open_to(&self, token: &str) {
        lock(&self.0).token = Some(token.to_owned());
    }

    /// Sets a tag at `start`, in seconds since 1970: what it was until then is history.
    pub fn tag(&self, repository: &str, tag: &str, digest: &str, start: i64) {
        self.repository(repository);
        self.write(repository, |it| {
            let before = it.tags.iter_mut();
            for old in before.filter(|old| old.name == tag && old.end.is_none()) {
                old.end = Some(start);
            }
            it.tags.push(Tag {
                name: tag.to_owned(),
                digest: digest.to_owned(),
                is_list: false,
                start,
                end: None,
            });
            it.tags.sort_by_key(|tag| std::cmp::Reverse(tag.start));
        });
    }

    /// Lets a tag expire at `end`, in seconds since 1970, which may be past or to come.
    pub fn expire(&self, repository: &str, tag: &str, end: i64) {
        self.write(repository, |it| {
            let tags = it.tags.iter_mut();
            for tag in tags.filter(|it| it.name == tag && it.end.is_none()) {
                tag.end = Some(end);
            }
        });
    }

    fn write(&self, name: &str, work: impl FnOnce(&mut Repository)) {
        let mut state = lock(&self.0);
        work(state.repositories.get_mut(name).expect("a repository"));
    }

    /// The answer to a request below `/api/v1/`.
    pub(super) fn answer(&self, ask: &Ask, now: i64) -> Answer {
        let mut state = lock(&self.0);
        let is_signed_in = state.signed_in(ask);
        if ask.path == "/api/v1/repository" {
            return state.list(ask, is_signed_in);
        }
        let rest = ask.path.strip_prefix("/api/v1/repository/");
        match rest.and_then(|rest| rest.strip_suffix("/tag/")) {
            Some(name) => state.tags(name, ask, (is_signed_in, now)),
            None => refused(StatusCode::NOT_FOUND, "not_found", "Not Found"),
        }
    }
}

impl State {
    fn signed_in(&self, ask: &Ask) -> bool {
        let sent = ask.header(&AUTHORIZATION);
        let sent = sent.and_then(|sent| sent.strip_prefix("Bearer "));
        sent.is_some() && sent == self.token.as_deref()
    }

    fn list(&mut self, ask: &Ask, is_signed_in: bool) -> Answer {
        let namespace = ask.query("namespace").unwrap_or_default();
        let is_public = ask.query("public").as_deref() == Some("true");
        if namespace.is_empty() && !is_public {
            let why = "namespace, starred or public are required for this API call";
            return refused(StatusCode::BAD_REQUEST, "invalid_request", why);
        }
        let prefix = format!("{namespace}/");
        let is_seen = |(name, it): &(&String, &Repository)| {
            let is_open = is_public && !it.is_private;
            name.starts_with(&prefix) && (is_open || is_signed_in)
        };
        let all: Vec<_> = self.repositories.iter().filter(is_seen).collect();
        // A token that it can't read is as none: the first page.
        let token = ask.query("next_page").unwrap_or_default();
        let start = self.pages.get(&token).copied().unwrap_or(0);
        let page = all.iter().skip(start).take(PAGE);
        let dated = ask.query("last_modified").as_deref() == Some("true");
        let entries: Vec<Value> = page.map(|(name, it)| it.entry(name, dated)).collect();
        let mut answer = json!({"repositories": entries});
        let next = start + PAGE;
        if next < all.len() {
            let token = format!(
                "gAAAAAB{}=",
                &digest_of(format!("{prefix}{next}").as_bytes())[7..]
            );
            answer["next_page"] = json!(token);
            self.pages.insert(token, next);
        }
        Answer::json(StatusCode::OK, &answer)
    }

    fn tags(&self, name: &str, ask: &Ask, (is_signed_in, now): (bool, i64)) -> Answer {
        let found = self.repositories.get(name);
        let Some(repository) = found.filter(|it| !it.is_private || is_signed_in) else {
            return match is_signed_in {
                // Whether a repository is there is nobody's to know who may not read it.
                false => refused(
                    StatusCode::UNAUTHORIZED,
                    "invalid_token",
                    "Requires authentication",
                ),
                true => refused(StatusCode::NOT_FOUND, "not_found", "Not Found"),
            };
        };
        let number = |key: &str| ask.query(key).and_then(|it| it.parse::<usize>().ok());
        let limit = number("limit").unwrap_or(50).clamp(1, MOST_TAGS);
        let page = number("page").unwrap_or(1).max(1);
        let is_active = ask.query("onlyActiveTags").as_deref() == Some("true");
        let only = ask.query("specificTag").filter(|tag| !tag.is_empty());
        let wanted = |tag: &&Tag| {
            let is_alive = tag.end.is_none_or(|end| end > now);
            (!is_active || is_alive) && only.as_ref().is_none_or(|only| *only == tag.name)
        };
        let all: Vec<&Tag> = repository.tags.iter().filter(wanted).collect();
        let tags = all.iter().skip((page - 1) * limit).take(limit);
        let tags: Vec<Value> = tags.map(|tag| tag.entry()).collect();
        let has_more = all.len() > page * limit;
        let answer = json!({"tags": tags, "page": page, "has_additional": has_more});
        Answer::json(StatusCode::OK, &answer)
    }
}

impl Repository {
    fn entry(&self, name: &str, dated: bool) -> Value {
        let (namespace, name) = name.split_once('/').unwrap_or_default();
        let mut entry = json!({
            "namespace": namespace,
            "name": name,
            "description": null,
            "is_public": !self.is_private,
            "kind": self.kind.as_deref().unwrap_or("image"),
            "state": "NORMAL",
            "quota_report": {"quota_bytes": null, "configured_quota": null},
        });
        if dated {
            entry["last_modified"] = json!(self.tags.first().map(|tag| tag.start));
        }
        entry
    }
}

impl Tag {
    fn entry(&self) -> Value {
        let mut entry = json!({
            "name": self.name,
            "reversion": false,
            "start_ts": self.start,
            "manifest_digest": self.digest,
            "is_manifest_list": self.is_list,
            "size": if self.is_list { Value::Null } else { json!(123_456_789) },
            "last_modified": mail_date(self.start),
        });
        if let Some(end) = self.end {
            entry["end_ts"] = json!(end);
            entry["expiration"] = json!(mail_date(end));
        }
        entry
    }
}

/// As Quay's API refuses.
fn refused(status: StatusCode, kind: &str, message: &str) -> Answer {
    let body = json!({
        "status": status.as_u16(),
        "error_message": message,
        "title": kind,
        "error_type": kind,
        "detail": message,
        "type": format!("https://quay.io/api/v1/error/{kind}"),
    });
    Answer::json(status, &body)
}

/// `Fri, 20 Mar 2026 22:57:46 -0000` (RFC 2822).
fn mail_date(seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (mut year, mut day) = (1970, days);
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = |year: i64| 365 + i64::from(is_leap(year));
    while day >= length(year) {
        day -= length(year);
        year += 1;
    }
    let mut month = 0;
    let february = 28 + i64::from(is_leap(year));
    for long in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < long {
            break;
        }
        day -= long;
        month += 1;
    }
    let weekday = DAYS[days.rem_euclid(7) as usize];
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let (day, month) = (day + 1, MONTHS[month]);
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} -0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_dates_as_mails_have_them() {
        assert_eq!(mail_date(0), "Thu, 01 Jan 1970 00:00:00 -0000");
        assert_eq!(mail_date(1_774_047_466), "Fri, 20 Mar 2026 22:57:46 -0000");
        assert_eq!(mail_date(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 -0000");
        assert_eq!(mail_date(1_767_225_599), "Wed, 31 Dec 2025 23:59:59 -0000");
    }
}
