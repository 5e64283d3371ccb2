use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::files::unusable;

use super::User;
use super::htpasswd::Users;
use super::token::Tokens;

/// Everybody who may come in with a header.
pub(super) struct Register {
    users: Option<Users>,
    tokens: Tokens,
}

/// A user whose password was found right, and the hash by which it was; none where it was a token.
pub(super) struct Proven {
    pub(super) user: User,
    pub(super) hash: Option<Arc<str>>,
}

impl Register {
    /// Reads both files, where there are two.
    pub(super) fn read(htpasswd: Option<&Path>, tokens: Option<&Path>) -> io::Result<Self> {
        let users = htpasswd.map(|path| Users::parse(path, &text(path)?));
        let tokens = tokens.map(|path| Tokens::parse(path, &text(path)?));
        Ok(Self {
            users: users.transpose()?,
            tokens: tokens.transpose()?.unwrap_or_default(),
        })
    }

    /// How many users with passwords, and how many tokens.
    pub(super) fn count(&self) -> (usize, usize) {
        let users = self.users.as_ref().map_or(0, Users::len);
        (users, self.tokens.len())
    }

    /// Whether somebody has this name.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.hash(name).is_some() || self.tokens.has(name)
    }

    /// The hash of a user's password.
    pub(super) fn hash(&self, name: &str) -> Option<&Arc<str>> {
        self.users.as_ref()?.hash(name)
    }

    /// Whose bearer token this is.
    pub(super) fn bearer(&self, token: &[u8]) -> Option<User> {
        self.tokens.owner(token, None)
    }

    /// Whether this is the user's password, or a token of that name: clients that know passwords
    /// only can use tokens too. Takes the time of a bcrypt, but for tokens that are right.
    pub(super) fn password(&self, name: &str, password: &[u8], seed: u8) -> Option<Proven> {
        if let Some(user) = self.tokens.owner(password, Some(name)) {
            return Some(Proven { user, hash: None });
        }
        let hash = self.users.as_ref()?.verify(name, password, seed)?;
        Some(Proven {
            user: User::new(name),
            hash: Some(hash),
        })
    }
}

fn text(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path).map_err(|error| unusable(path, &error.to_string()))
}
