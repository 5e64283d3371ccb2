/// What registries of a family do that others don't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// Which blobs can be mounted from another repository.
    pub mounts: Mounts,
    /// Whether an index is taken whose manifests are not all there; `None` where it must be tried.
    pub sparse: Option<bool>,
    /// How a repository comes to be.
    pub creation: Creation,
    /// How many ranges of one large blob are asked for at once, where nobody says otherwise: 1, for none
    /// beside the first request, where they are not given for nothing.
    pub ranges: usize,
}

/// Which blobs can be mounted from another repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounts {
    /// Those that the other repository has.
    Any,
    /// Those that a manifest in the other repository names.
    Committed,
    /// None.
    Never,
}

/// How a repository comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// By the first push into it.
    OnPush,
    /// By a call of the ECR API, unless the account has a template that does it on push.
    Ecr,
    /// Nobody knows.
    Unknown,
}
