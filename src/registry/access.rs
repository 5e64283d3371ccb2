use std::sync::Arc;

use super::challenge::Scopes;

/// What a request wants to be allowed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Access {
    /// To read from its repository.
    Pull,
    /// To write into it.
    Push,
    /// To write into it, and to read from another one.
    Mount(Arc<str>),
}

impl Access {
    /// As scopes of `repository` (distribution spec, "Token Scope"); none where that is nothing.
    pub(super) fn scopes(&self, repository: &str) -> Scopes {
        match self {
            _ if repository.is_empty() => Scopes::default(),
            Self::Pull => Scopes::parse(&format!("repository:{repository}:pull")),
            Self::Push => Scopes::parse(&format!("repository:{repository}:pull,push")),
            Self::Mount(from) => Scopes::parse(&format!(
                "repository:{repository}:pull,push repository:{from}:pull"
            )),
        }
    }
}
