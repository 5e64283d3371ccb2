//! Which end of the distribution API, as far as pushes need it, a path is.

use http::Method;

use crate::server::answer::Ask;
use crate::upstream::auth::Scope;
use crate::upstream::route::Route as Pull;

/// Where sessions are that are kept beside the repositories.
pub(super) const ELSEWHERE: &str = "/upload-sessions/";

/// Where Harbor makes projects.
pub(super) const PROJECTS: &str = "/api/v2.0/projects";

/// An endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// `/v2/<name>/blobs/uploads/`.
    Uploads(&'a str),
    /// An upload session, by its id.
    Session(&'a str),
    /// Harbor's projects, and what follows.
    Projects(&'a str),
    /// What pulls ask for as well.
    Pull(Pull<'a>),
}

/// A scope that a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    repository: String,
    push: bool,
}

impl Wanted {
    pub(super) fn scope(&self) -> Scope<'_> {
        if self.push {
            return Scope::push(&self.repository);
        }
        Scope::pull(&self.repository)
    }
}

impl<'a> Route<'a> {
    pub(super) fn of(path: &'a str) -> Self {
        if let Some(id) = path.strip_prefix(ELSEWHERE) {
            return Self::Session(id);
        }
        if let Some(rest) = path.strip_prefix(PROJECTS) {
            return Self::Projects(rest);
        }
        let uploads = path
            .strip_prefix("/v2/")
            .and_then(|rest| rest.rsplit_once("/blobs/uploads"));
        match uploads {
            Some((name, "" | "/")) => Self::Uploads(name),
            Some((_, id)) if id.starts_with('/') && !id[1..].contains('/') => {
                Self::Session(&id[1..])
            }
            _ => Self::Pull(Pull::of(path)),
        }
    }

    /// What whoever asks this must be allowed to do; `session` is the repository of the session
    /// that is meant.
    pub(super) fn scopes(&self, session: &str, ask: &Ask) -> Vec<Wanted> {
        let wanted = |repository: &str, push| Wanted {
            repository: repository.to_owned(),
            push,
        };
        let reads = [Method::GET, Method::HEAD].contains(&ask.method);
        match *self {
            Self::Uploads(name) => {
                let source = ask.query("from").filter(|_| ask.query("mount").is_some());
                let source = source.map(|from| wanted(&from, false));
                [wanted(name, true)].into_iter().chain(source).collect()
            }
            Self::Session("") | Self::Projects(_) => Vec::new(),
            Self::Session(_) if session.is_empty() => Vec::new(),
            Self::Session(_) => vec![wanted(session, true)],
            Self::Pull(pull) => {
                let name = pull.repository().into_iter();
                name.map(|name| wanted(name, !reads)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_endpoints_apart() {
        assert_eq!(Route::of("/v2/a/b/blobs/uploads/"), Route::Uploads("a/b"));
        assert_eq!(Route::of("/v2/a/b/blobs/uploads"), Route::Uploads("a/b"));
        assert_eq!(Route::of("/v2/a/blobs/uploads/7"), Route::Session("7"));
        assert_eq!(Route::of("/upload-sessions/7"), Route::Session("7"));
        assert_eq!(Route::of("/api/v2.0/projects/x"), Route::Projects("/x"));
        let blob = Route::Pull(Pull::Blob("a", "sha256:1"));
        assert_eq!(Route::of("/v2/a/blobs/sha256:1"), blob);
    }
}
