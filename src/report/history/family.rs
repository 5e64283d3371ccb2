use crate::ledger::Action;

/// Actions that are drawn as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum Family {
    /// Blobs are read; the targets of redirects are too.
    BlobGets,
    /// Blobs are asked about.
    BlobHeads,
    /// Manifests are read, asked about or written.
    Manifests,
    /// Blobs are mounted.
    Mounts,
    /// Blobs are written.
    Uploads,
    /// Tags, referrers and repositories are listed.
    Lists,
    /// Pings and tokens.
    SignIn,
    /// All else.
    Other,
}

impl Family {
    /// All of them, in the order in which they are drawn.
    pub(in crate::report) const ALL: [Self; 8] = [
        Self::BlobGets,
        Self::BlobHeads,
        Self::Manifests,
        Self::Mounts,
        Self::Uploads,
        Self::Lists,
        Self::SignIn,
        Self::Other,
    ];

    pub(super) fn of(action: Action) -> Self {
        match action {
            Action::BlobGet | Action::Redirect => Self::BlobGets,
            Action::BlobHead => Self::BlobHeads,
            Action::ManifestHead | Action::ManifestGet | Action::ManifestPut => Self::Manifests,
            Action::BlobMount => Self::Mounts,
            Action::UploadStart | Action::UploadChunk | Action::UploadFinish => Self::Uploads,
            Action::TagList | Action::Referrers | Action::Catalog => Self::Lists,
            Action::Ping | Action::Token => Self::SignIn,
            Action::Delete | Action::Other => Self::Other,
        }
    }

    /// For people.
    pub(in crate::report) fn label(self) -> &'static str {
        match self {
            Self::BlobGets => "blob GETs and redirects",
            Self::BlobHeads => "blob HEADs",
            Self::Manifests => "manifests",
            Self::Mounts => "mounts",
            Self::Uploads => "uploads",
            Self::Lists => "lists",
            Self::SignIn => "pings and tokens",
            Self::Other => "other",
        }
    }
}
