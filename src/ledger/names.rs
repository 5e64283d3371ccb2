/// Defines the names of a kind of thing, once for the code, the logs and the journals.
macro_rules! names {
    (
        $(#[$about:meta])*
        $type:ident { $($(#[$doc:meta])* $variant:ident => $name:literal),+ $(,)? }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        pub enum $type {
            $($(#[$doc])* #[serde(rename = $name)] $variant),+
        }

        impl $type {
            /// All of them, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in logs, journals and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

names! {
    /// Who talks to whom in an exchange.
    Leg {
        /// A client asks, we answer.
        Client => "client",
        /// We ask an upstream.
        Upstream => "upstream",
        /// We ask a target.
        Target => "target",
        /// Measured traffic passes through.
        Tap => "tap",
    }
}

names! {
    /// What an exchange does, in the terms of the distribution spec.
    Action {
        /// `GET /v2/`.
        Ping => "ping",
        /// A token server's answer.
        Token => "token",
        /// `HEAD` of a manifest.
        ManifestHead => "manifest-head",
        /// `GET` of a manifest.
        ManifestGet => "manifest-get",
        /// `PUT` of a manifest.
        ManifestPut => "manifest-put",
        /// `HEAD` of a blob.
        BlobHead => "blob-head",
        /// `GET` of a blob.
        BlobGet => "blob-get",
        /// `POST` of an upload that tries to mount.
        BlobMount => "blob-mount",
        /// `POST` of an upload.
        UploadStart => "upload-start",
        /// `PATCH` of an upload.
        UploadChunk => "upload-chunk",
        /// `PUT` of an upload.
        UploadFinish => "upload-finish",
        /// A list of tags.
        TagList => "tag-list",
        /// A list of referrers.
        Referrers => "referrers",
        /// A list of repositories.
        Catalog => "catalog",
        /// A deletion.
        Delete => "delete",
        /// The target of a redirect.
        Redirect => "redirect",
        /// Anything else.
        Other => "other",
    }
}

names! {
    /// How an exchange ended.
    End {
        /// With all that was promised.
        Complete => "complete",
        /// Whoever received it went away.
        Cancelled => "cancelled",
        /// We broke it off, for it could not be completed rightly.
        Reset => "reset",
        /// The other side or the network broke it.
        Failed => "failed",
    }
}

names! {
    /// Where the answer to a client came from.
    Origin {
        /// From what we hold.
        Hit => "hit",
        /// From a fill that somebody else had started.
        Joined => "joined",
        /// From a fill, or a request, that this one started.
        Filled => "filled",
        /// From what we hold, though it could not be confirmed.
        Stale => "stale",
        /// From the upstream, unstored.
        Bypassed => "bypassed",
    }
}

names! {
    /// The HTTP version of an exchange.
    Protocol {
        /// HTTP/1.0 or HTTP/1.1.
        H1 => "h1",
        /// HTTP/2.
        H2 => "h2",
    }
}

names! {
    /// Whether a content delivery network had what was asked for, as it said.
    Cdn {
        /// It had it.
        Hit => "hit",
        /// It had to fetch it.
        Miss => "miss",
    }
}

names! {
    /// How a window changed.
    Move {
        /// It became larger.
        Growth => "growth",
        /// It became smaller: it was too much.
        Decrease => "decrease",
    }
}

pub(super) use names;

impl From<http::Version> for Protocol {
    fn from(version: http::Version) -> Self {
        if version == http::Version::HTTP_2 {
            Self::H2
        } else {
            Self::H1
        }
    }
}
