//! Registry families: which actions share a limit, how blobs are sent, what can be mounted, by who
//! runs the registry. All of it is data.

use super::Creation;
use super::Habits;
use super::Mounts;
use super::way::Way;
use crate::ledger::Action;
use crate::ledger::Action::{
    BlobGet, BlobHead, BlobMount, Catalog, ManifestGet, ManifestHead, Ping, Referrers, TagList,
    UploadChunk, UploadFinish, UploadStart,
};

/// Registries that limit alike.
#[derive(Debug)]
pub(super) struct Family {
    /// Their hosts; `*` stands for any characters. None: all others.
    hosts: &'static [&'static str],
    /// The windows that several actions share.
    windows: &'static [(&'static str, &'static [Action])],
    /// The window of all other actions.
    others: Others,
    /// The window that quota headers are about, whatever they came with; `None` where each answer
    /// tells of its own window.
    metered: Option<&'static str>,
    /// What its documentation allows, by window.
    ceilings: &'static [(&'static str, Ceiling)],
    /// How blobs are sent.
    uploads: Uploads,
    habits: Habits,
}

/// What the documentation of a registry allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ceiling {
    /// Requests a second.
    pub(super) per_second: f64,
    /// So many at once.
    pub(super) burst: f64,
}

/// As many at once as in a second.
const fn per_second(requests: f64) -> Ceiling {
    Ceiling {
        per_second: requests,
        burst: requests,
    }
}

/// Quotas of Amazon ECR (service endpoints and quotas, API throttling).
const ECR: &[(&str, Ceiling)] = &[
    ("manifest-put", per_second(10.0)),
    ("upload-start", per_second(100.0)),
    ("upload-finish", per_second(100.0)),
    ("upload-chunk", per_second(500.0)),
];
const ECR_PUBLIC: &[(&str, Ceiling)] = &[
    ("manifest-put", per_second(10.0)),
    ("upload-start", per_second(10.0)),
    ("upload-finish", per_second(10.0)),
    ("upload-chunk", per_second(260.0)),
];
/// 2000 requests a minute.
const GHCR: &[(&str, Ceiling)] = &[(
    "all",
    Ceiling {
        per_second: 2000.0 / 60.0,
        burst: 200.0,
    },
)];

/// How blobs are sent.
#[derive(Clone, Copy, Debug)]
struct Uploads {
    way: Way,
    /// Whether another way may be tried where that one is refused.
    may_change: bool,
}

const PUT: Uploads = Uploads {
    way: Way::Put,
    may_change: true,
};
/// The others are refused, or spoil the blob.
const PUT_ALONE: Uploads = Uploads {
    way: Way::Put,
    may_change: false,
};

/// Blobs are sent from a store that honours ranges, and may limit each connection.
const FREE_RANGES: usize = 4;
/// Each `GET` counts: against a quota, or a low rate that all reads share.
const METERED: usize = 1;

/// Where actions belong that no window names.
#[derive(Clone, Copy, Debug)]
enum Others {
    /// Into one window of this name.
    Together(&'static str),
    /// Each into one of its own.
    Apart,
}

/// Where tokens come from is another server, with limits of its own.
const TOKEN: &str = "token";

const HEADS: &[Action] = &[ManifestHead, BlobHead];
const UPLOADS: &[Action] = &[BlobMount, UploadStart, UploadChunk, UploadFinish];
const GETS: &[Action] = &[ManifestGet, BlobGet, Referrers, Catalog];
const READS: &[Action] = &[
    Ping,
    ManifestHead,
    ManifestGet,
    BlobHead,
    BlobGet,
    TagList,
    Referrers,
    Catalog,
];

/// The first that fits counts; the last one fits all.
const FAMILIES: &[Family] = &[
    Family {
        // HEADs are free there, and tell how many manifests may still be fetched.
        hosts: &["docker.io", "*.docker.io"],
        windows: &[("heads", HEADS), ("manifest-get", &[ManifestGet])],
        others: Others::Together("others"),
        metered: Some("manifest-get"),
        ceilings: &[],
        uploads: PUT,
        habits: Habits {
            mounts: Mounts::Any,
            sparse: Some(false),
            creation: Creation::OnPush,
            ranges: METERED,
        },
    },
    Family {
        hosts: &[
            "*.dkr.ecr.*.amazonaws.com",
            "*.dkr.ecr.*.amazonaws.com.cn",
            "*.dkr.ecr-fips.*.amazonaws.com",
            "*.dkr-ecr.*.on.aws",
            "*.dkr-ecr-fips.*.on.aws",
        ],
        windows: &[],
        others: Others::Apart,
        metered: None,
        ceilings: ECR,
        // A mount works where the account has switched BLOB_MOUNTING on, of what a manifest names;
        // an index without its manifests is MANIFEST_BLOB_UNKNOWN.
        uploads: PUT,
        habits: Habits {
            mounts: Mounts::Committed,
            sparse: Some(false),
            creation: Creation::Ecr,
            ranges: FREE_RANGES,
        },
    },
    Family {
        hosts: &["public.ecr.aws"],
        windows: &[("reads", READS)],
        others: Others::Apart,
        metered: None,
        ceilings: ECR_PUBLIC,
        // A mount is answered with a session, always.
        uploads: PUT,
        habits: Habits {
            mounts: Mounts::Never,
            sparse: Some(false),
            creation: Creation::Unknown,
            ranges: METERED,
        },
    },
    Family {
        hosts: &["ghcr.io"],
        windows: &[],
        others: Others::Together("all"),
        metered: None,
        ceilings: GHCR,
        // It spoils what comes in several PATCHes.
        uploads: PUT_ALONE,
        habits: Habits {
            mounts: Mounts::Any,
            sparse: None,
            creation: Creation::OnPush,
            ranges: FREE_RANGES,
        },
    },
    Family {
        hosts: &["gcr.io", "*.gcr.io", "*.pkg.dev"],
        windows: &[],
        others: Others::Together("all"),
        metered: None,
        ceilings: &[],
        // It refuses any PATCH.
        uploads: PUT_ALONE,
        habits: Habits {
            mounts: Mounts::Any,
            sparse: None,
            creation: Creation::OnPush,
            ranges: FREE_RANGES,
        },
    },
    Family {
        hosts: &["*.azurecr.io", "*.azurecr.cn", "*.azurecr.us"],
        windows: &[("reads", READS)],
        others: Others::Together("writes"),
        metered: None,
        ceilings: &[],
        // A body of more than about 20 MB is a 413.
        uploads: Uploads {
            way: Way::Chunks(16 << 20),
            may_change: false,
        },
        habits: Habits {
            mounts: Mounts::Any,
            sparse: None,
            creation: Creation::OnPush,
            ranges: FREE_RANGES,
        },
    },
    UNKNOWN,
];

const UNKNOWN: Family = Family {
    hosts: &["*"],
    windows: &[("heads", HEADS), ("reads", GETS), ("uploads", UPLOADS)],
    others: Others::Apart,
    metered: None,
    ceilings: &[],
    uploads: PUT,
    habits: Habits {
        mounts: Mounts::Any,
        sparse: None,
        creation: Creation::Unknown,
        ranges: FREE_RANGES,
    },
};

impl Family {
    /// The family of the registry at `host` (without a port).
    pub(super) fn of(host: &str) -> &'static Self {
        let fits = |family: &&Self| family.hosts.iter().any(|pattern| matches(pattern, host));
        FAMILIES.iter().find(fits).unwrap_or(&UNKNOWN)
    }

    /// What they do that others don't.
    pub(super) fn habits(&self) -> Habits {
        self.habits
    }

    /// How blobs are sent to them, and whether another way may be tried where that is refused.
    pub(super) fn uploads(&self) -> (Way, bool) {
        (self.uploads.way, self.uploads.may_change)
    }

    /// The window that `action` belongs to.
    pub(super) fn window(&self, action: Action) -> &'static str {
        if action == Action::Token {
            return TOKEN;
        }
        let mut shared = self.windows.iter();
        match (shared.find(|(_, all)| all.contains(&action)), self.others) {
            (Some(&(name, _)), _) | (None, Others::Together(name)) => name,
            (None, Others::Apart) => action.as_str(),
        }
    }

    /// How many requests of `window` may leave, as far as it is documented.
    pub(super) fn ceiling(&self, window: &str) -> Option<Ceiling> {
        let mut ceilings = self.ceilings.iter();
        ceilings.find(|(name, _)| *name == window).map(|it| it.1)
    }

    /// The window that the quota headers of an answer to `action` tell about.
    pub(super) fn metered(&self, action: Action) -> &'static str {
        match self.metered {
            Some(window) if action != Action::Token => window,
            _ => self.window(action),
        }
    }
}

/// Whether `host` is as `pattern`, in which each `*` stands for any characters.
fn matches(pattern: &str, host: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == host,
        Some((start, rest)) => host.strip_prefix(start).is_some_and(|host| {
            let ends = host.char_indices().map(|(at, _)| at).chain([host.len()]);
            ends.into_iter().any(|at| matches(rest, &host[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Action::ManifestPut;

    fn windows(host: &str, actions: &[Action]) -> Vec<&'static str> {
        let family = Family::of(host);
        actions
            .iter()
            .map(|action| family.window(*action))
            .collect()
    }

    #[test]
    fn actions_share_limits_as_their_registry_has_it() {
        let pull = [ManifestHead, ManifestGet, BlobHead, BlobGet, TagList];
        assert_eq!(
            windows("registry-1.docker.io", &pull),
            ["heads", "manifest-get", "heads", "others", "others"]
        );
        let ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
        assert_eq!(
            windows(ecr, &pull),
            [
                "manifest-head",
                "manifest-get",
                "blob-head",
                "blob-get",
                "tag-list"
            ]
        );
        for host in [
            "ghcr.io",
            "gcr.io",
            "mirror.gcr.io",
            "europe-docker.pkg.dev",
        ] {
            assert_eq!(windows(host, &[BlobGet, ManifestPut]), ["all", "all"]);
        }
        let both = [BlobGet, TagList, ManifestPut, UploadStart];
        assert_eq!(
            windows("public.ecr.aws", &both),
            ["reads", "reads", "manifest-put", "upload-start"]
        );
        assert_eq!(
            windows("me.azurecr.io", &both),
            ["reads", "reads", "writes", "writes"]
        );
        for host in ["quay.io", "127.0.0.1", "notdocker.io", "docker.io.test"] {
            assert_eq!(
                windows(host, &[BlobHead, BlobGet, BlobMount, ManifestPut, TagList]),
                ["heads", "reads", "uploads", "manifest-put", "tag-list"]
            );
        }
    }

    #[test]
    fn habits_are_as_their_registry_has_them() {
        let habits = |host| Family::of(host).habits();
        let ecr = habits("123456789012.dkr.ecr.eu-west-1.amazonaws.com");
        assert_eq!(
            (ecr.mounts, ecr.creation),
            (Mounts::Committed, Creation::Ecr)
        );
        assert_eq!(habits("public.ecr.aws").mounts, Mounts::Never);
        let hub = habits("registry-1.docker.io");
        assert_eq!((hub.mounts, hub.sparse), (Mounts::Any, Some(false)));
        let unknown = habits("127.0.0.1");
        assert_eq!((unknown.mounts, unknown.sparse), (Mounts::Any, None));
        assert_eq!(unknown.creation, Creation::Unknown);
    }

    #[test]
    fn ranges_are_asked_for_where_they_are_free() {
        let ranges = |host| Family::of(host).habits().ranges;
        for host in ["registry-1.docker.io", "docker.io", "public.ecr.aws"] {
            assert_eq!(ranges(host), 1, "{host}");
        }
        let ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
        for host in [
            "quay.io",
            "ghcr.io",
            "gcr.io",
            "me.azurecr.io",
            ecr,
            "127.0.0.1",
        ] {
            assert_eq!(ranges(host), 4, "{host}");
        }
    }

    #[test]
    fn ceilings_are_of_windows_that_there_are() {
        let all: Vec<_> = crate::ledger::Action::ALL.to_vec();
        for family in FAMILIES {
            for (window, ceiling) in family.ceilings {
                assert!(
                    all.iter().any(|it| family.window(*it) == *window),
                    "{window}"
                );
                assert!(ceiling.per_second > 0.0 && ceiling.burst >= 1.0);
            }
        }
        let ghcr = Family::of("ghcr.io").ceiling("all").unwrap();
        assert!(ghcr.per_second < 34.0);
        assert_eq!(Family::of("gcr.io").ceiling("all"), None);
        assert_eq!(Family::of("quay.io").ceiling("reads"), None);
    }

    #[test]
    fn tokens_are_apart_everywhere() {
        for host in ["docker.io", "ghcr.io", "quay.io"] {
            assert_eq!(windows(host, &[Action::Token]), [TOKEN]);
        }
    }

    #[test]
    fn docker_hubs_heads_tell_of_its_gets() {
        let hub = Family::of("registry-1.docker.io");
        assert_eq!(hub.metered(ManifestHead), "manifest-get");
        assert_eq!(hub.metered(Action::Token), TOKEN);
        assert_eq!(Family::of("quay.io").metered(ManifestHead), "heads");
    }
}
