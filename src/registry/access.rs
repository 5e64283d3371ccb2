use std::sync::Arc;

use super::challenge::Scopes;

/// What a request wants to be allowed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Access {
    /// To read from its repository.
    Pull,
    /// To write into it.
    Push,
    /// To remove something from it.
    Delete,
    /// To write into it, and to read from another one.
    Mount(Arc<str>),
    /// What the configured user may by name and password: it is no matter of repositories, nor of
    /// tokens.
    Login,
    /// To read from Quay's own API, which takes nothing but an access token of its own.
    Api,
}

impl Access {
    /// As scopes of `repository` (distribution spec, "Token Scope"); none where that is nothing.
    pub(super) fn scopes(&self, repository: &str) -> Scopes {
        match self {
            Self::Login | Self::Api => Scopes::default(),
            _ if repository.is_empty() => Scopes::default(),
            Self::Pull => Scopes::parse(&format!("repository:{repository}:pull")),
            Self::Push => Scopes::parse(&format!("repository:{repository}:pull,push")),
            Self::Delete => Scopes::parse(&format!("repository:{repository}:pull,delete")),
            Self::Mount(from) => Scopes::parse(&format!(
                "repository:{repository}:pull,push repository:{from}:pull"
            )),
        }
    }
}
