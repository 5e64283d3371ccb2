/// What the path of a request is about; the texts are not parsed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint<'a> {
    /// `/v2/`
    Ping,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/...`
    Repository(&'a str, Part<'a>),
}

/// What of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// `manifests/<reference>`
    Manifest(&'a str),
    /// `blobs/<digest>`
    Blob(&'a str),
    /// `tags/list`
    Tags,
    /// `referrers/<digest>`
    Referrers(&'a str),
    /// `blobs/uploads/<session>`; the session is empty where one is to begin
    Upload(&'a str),
}

impl<'a> Endpoint<'a> {
    /// Reads a decoded path (distribution spec, "Endpoints"); `None` where it is none of theirs. It
    /// is read from the right, for a name's components may be called `manifests`, `blobs` or `tags`.
    pub fn parse(path: &'a str) -> Option<Self> {
        match below_v2(path)? {
            "" => Some(Self::Ping),
            "_catalog" => Some(Self::Catalog),
            rest => {
                let (front, last) = rest.rsplit_once('/')?;
                let (name, kind) = front.rsplit_once('/')?;
                let part = match (kind, last) {
                    ("manifests", reference) => Part::Manifest(reference),
                    ("blobs", digest) => Part::Blob(digest),
                    ("referrers", digest) => Part::Referrers(digest),
                    ("tags", "list") => Part::Tags,
                    ("uploads", session) => {
                        let name = name.strip_suffix("/blobs")?;
                        return Some(Self::Repository(name, Part::Upload(session)));
                    }
                    _ => return None,
                };
                Some(Self::Repository(name, part))
            }
        }
    }
}

/// What follows `/v2/`; `None` for a path elsewhere.
pub fn below_v2(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v2")?;
    rest.strip_prefix('/').or(rest.is_empty().then_some(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_from_the_right() {
        let cases = [
            ("/v2", Endpoint::Ping),
            ("/v2/", Endpoint::Ping),
            ("/v2/_catalog", Endpoint::Catalog),
            (
                "/v2/a/manifests/latest",
                Endpoint::Repository("a", Part::Manifest("latest")),
            ),
            (
                "/v2/a/b/blobs/sha256:1",
                Endpoint::Repository("a/b", Part::Blob("sha256:1")),
            ),
            ("/v2/a/tags/list", Endpoint::Repository("a", Part::Tags)),
            (
                "/v2/a/manifests/b/tags/list",
                Endpoint::Repository("a/manifests/b", Part::Tags),
            ),
            (
                "/v2/tags/list/manifests/manifests/blobs",
                Endpoint::Repository("tags/list/manifests", Part::Manifest("blobs")),
            ),
            (
                "/v2/blobs/blobs/blobs",
                Endpoint::Repository("blobs", Part::Blob("blobs")),
            ),
            (
                "/v2/a/referrers/sha256:1",
                Endpoint::Repository("a", Part::Referrers("sha256:1")),
            ),
            (
                "/v2/a/b/blobs/uploads/",
                Endpoint::Repository("a/b", Part::Upload("")),
            ),
            (
                "/v2/a/blobs/uploads/x-1",
                Endpoint::Repository("a", Part::Upload("x-1")),
            ),
            // An empty name is an endpoint with a bad name.
            (
                "/v2//manifests/x",
                Endpoint::Repository("", Part::Manifest("x")),
            ),
        ];
        for (path, endpoint) in cases {
            assert_eq!(Endpoint::parse(path), Some(endpoint), "{path}");
        }
    }

    #[test]
    fn other_paths_are_none() {
        for path in [
            "",
            "*",
            "/",
            "/v1/",
            "/v2a",
            "/v2_catalog",
            "/v2/a",
            "/v2/a/tags",
            "/v2/a/tags/lists",
            "/v2/manifests/x",
            "/v2/a/uploads/x",
            "/v2/blobs/uploads/x",
            "/v2/_catalog/",
            "/v2/a/manifests/x/",
        ] {
            assert_eq!(Endpoint::parse(path), None, "{path}");
        }
    }
}
