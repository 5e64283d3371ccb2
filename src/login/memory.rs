use std::io;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use sha2::Digest as _;
use sha2::Sha256;

use super::User;
use super::register::Proven;
use super::register::Register;

/// How long a login that was found right is remembered after its last use.
const IDLE: Duration = Duration::from_secs(5 * 60);
/// How many are remembered.
const MOST: u64 = 10_000;

/// A text, hashed with a key that this process alone has: it says nothing about the text.
pub(super) type Key = [u8; 32];

/// Which logins were found right.
pub(super) struct Memory {
    secret: [u8; 32],
    known: Cache<Key, (User, Arc<str>)>,
}

impl Memory {
    /// Nothing remembered yet.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new() -> io::Result<Self> {
        let mut secret = [0; 32];
        rustls::crypto::aws_lc_rs::default_provider()
            .secure_random
            .fill(&mut secret)
            .map_err(|_| io::Error::other("the system gives no random bytes"))?;
        let known = Cache::builder().max_capacity(MOST).time_to_idle(IDLE);
        Ok(Self {
            secret,
            known: known.build(),
        })
    }

    /// What stands for `text`.
    pub(super) fn key(&self, text: &[u8]) -> Key {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        hash.update(text);
        hash.finalize().into()
    }

    /// Who came with this header before, where the password is still that user's.
    pub(super) fn recall(&self, header: &Key, register: &Register) -> Option<User> {
        let (user, hash) = self.known.get(header)?;
        (register.hash(user.as_str()) == Some(&hash)).then_some(user)
    }

    /// Remembers who came with this header. Tokens are as quickly checked as recalled.
    pub(super) fn remember(&self, header: Key, proven: Proven) -> User {
        if let Some(hash) = proven.hash {
            self.known.insert(header, (proven.user.clone(), hash));
        }
        proven.user
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}
