//! Which end of the distribution API a path is.

/// An endpoint of the OCI distribution spec ("Endpoints"), with the repository's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    Ping,
    Catalog,
    Manifest(&'a str, &'a str),
    Blob(&'a str, &'a str),
    Tags(&'a str),
    Referrers(&'a str, &'a str),
    Other,
}

impl<'a> Route<'a> {
    pub(crate) fn of(path: &'a str) -> Self {
        let Some(rest) = path.strip_prefix("/v2/") else {
            return if path == "/v2" {
                Self::Ping
            } else {
                Self::Other
            };
        };
        match rest {
            "" => return Self::Ping,
            "_catalog" => return Self::Catalog,
            _ => {}
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Self::Tags(name);
        }
        let Some((front, last)) = rest.rsplit_once('/') else {
            return Self::Other;
        };
        match front.rsplit_once('/') {
            Some((name, "manifests")) => Self::Manifest(name, last),
            Some((name, "blobs")) => Self::Blob(name, last),
            Some((name, "referrers")) => Self::Referrers(name, last),
            _ => Self::Other,
        }
    }

    /// The repository that the path names, if any.
    pub(crate) fn repository(&self) -> Option<&'a str> {
        match *self {
            Self::Manifest(name, _) | Self::Blob(name, _) | Self::Referrers(name, _) => Some(name),
            Self::Tags(name) => Some(name),
            Self::Ping | Self::Catalog | Self::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_endpoints_apart() {
        assert_eq!(Route::of("/v2/"), Route::Ping);
        assert_eq!(
            Route::of("/v2/a/b/manifests/c"),
            Route::Manifest("a/b", "c")
        );
        assert_eq!(
            Route::of("/v2/blobs/blobs/sha256:1"),
            Route::Blob("blobs", "sha256:1")
        );
        assert_eq!(Route::of("/v2/a/tags/list"), Route::Tags("a"));
        assert_eq!(
            Route::of("/v2/a/referrers/sha256:1"),
            Route::Referrers("a", "sha256:1")
        );
        assert_eq!(Route::of("/v1/x"), Route::Other);
    }
}
