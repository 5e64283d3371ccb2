//! Signing in to one host: what it asked for, and what was got for that.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use http::HeaderMap;
use http::HeaderValue;
use moka::sync::Cache;
use url::Url;

use super::Credentials;
use super::Error;
use super::Secret;
use super::access::Access;
use super::challenge::Challenge;
use super::challenge::Scopes;
use super::challenge::TokenKey;
use super::credential;
use super::credential::Login;
use super::credential::Source;
use super::detached::Detached;
use super::detached::detach;
use super::fault::Fault;
use super::token;
use super::token::Token;
use super::wire::Subject;
use super::wire::Wire;
use super::wire::host_of;
use crate::ledger::Action;

/// The sign-in state of one host.
pub(super) struct Auth {
    base: Url,
    /// What is sent as it is: a bearer token from the configuration, or a client's own words.
    fixed: Option<HeaderValue>,
    /// Whether challenges are for the client to answer.
    is_relay: bool,
    source: Arc<Source>,
    /// By repository, and what is wanted there. Made at the first of them: a client's own sign-in
    /// never gets there.
    challenges: LazyLock<Cache<Matter, Arc<Challenge>>>,
    /// The last of them that a repository not asked before may be expected to have too.
    usual: Mutex<Option<Challenge>>,
    tokens: Mutex<HashMap<TokenKey, Held>>,
}

/// A repository, and what is wanted there.
type Matter = (Arc<str>, Access);

/// A token that is there, or on its way.
struct Held {
    /// The last that was asked for.
    fetched: Detached<Arc<Token>>,
    /// When it was asked for.
    since: Instant,
    /// The one before, which does until that has come, or its own life ends.
    before: Option<Arc<Token>>,
}

/// What a request may be signed with.
pub(super) enum Grant {
    /// The configuration's own token.
    Fixed(HeaderValue),
    /// A token from a token server.
    Token(TokenKey, Arc<Token>),
    /// A user name and a password.
    Login(HeaderValue, Arc<Login>),
}

impl Grant {
    /// `Authorization`.
    pub(super) fn header(&self) -> &HeaderValue {
        match self {
            Self::Fixed(header) | Self::Login(header, _) => header,
            Self::Token(_, token) => &token.authorization,
        }
    }
}

const MOST_REPOSITORIES: u64 = 10_000;
const MOST_TOKENS: usize = 4096;
/// While there is a good token, a failed renewal of it is not tried again for so long.
const RENEWAL: Duration = Duration::from_secs(5);

impl Auth {
    /// Nobody has asked for anything yet.
    pub(super) fn new(base: &Url, credentials: Credentials) -> Result<Self, Error> {
        let fixed = match &credentials {
            Credentials::Token(token) => Some(credential::bearer(token).ok_or_else(|| {
                Error::Config("the token has characters that no HTTP header may have".into())
            })?),
            _ => None,
        };
        Ok(Self {
            base: base.clone(),
            fixed,
            is_relay: false,
            source: Arc::new(Source::new(credentials, &host_of(base))),
            challenges: LazyLock::new(|| Cache::new(MOST_REPOSITORIES)),
            usual: Mutex::default(),
            tokens: Mutex::default(),
        })
    }

    /// The sign-in of a client that answers its challenges itself: `authorization` is sent as it
    /// is, to this host and no other.
    pub(super) fn relay(base: &Url, authorization: Option<&Secret>) -> Result<Self, Error> {
        let fixed = authorization.map(credential::verbatim);
        let unfit = || Error::Config("the client's Authorization is no HTTP header".into());
        Ok(Self {
            fixed: fixed.map(|header| header.ok_or_else(unfit)).transpose()?,
            is_relay: true,
            ..Self::new(base, Credentials::Anonymous)?
        })
    }

    /// Whether challenges are for the client to answer.
    pub(super) fn is_relay(&self) -> bool {
        self.is_relay
    }

    /// What a request can be signed with before it is refused: the last challenge of its
    /// repository, or the one that its host usually has, is answered in advance.
    pub(super) async fn known(
        &self,
        wire: &Arc<Wire>,
        subject: &Subject,
    ) -> Result<Option<Grant>, Fault> {
        if let Some(fixed) = &self.fixed {
            return Ok(Some(Grant::Fixed(fixed.clone())));
        }
        if self.is_relay {
            return Ok(None);
        }
        if matches!(subject.access, Access::Login | Access::Api) {
            let login = self.source.login().await.map_err(Fault::lasting)?;
            let header = match subject.access {
                Access::Api => login.access_token(),
                _ => login.basic(),
            };
            return Ok(header.map(|header| Grant::Login(header, login)));
        }
        let challenge = self.challenges.get(&subject.matter());
        match challenge.or_else(|| self.expected(subject)) {
            Some(challenge) => self.grant(wire, subject, &challenge).await.map(Some),
            None => Ok(None),
        }
    }

    /// Something else to sign with, after a 401 with `headers` to a request that was signed with
    /// `refused`; `None` where there is nothing else.
    pub(super) async fn after_401(
        &self,
        wire: &Arc<Wire>,
        subject: &Subject,
        headers: &HeaderMap,
        refused: Option<Grant>,
    ) -> Result<Option<Grant>, Fault> {
        if self.is_relay || subject.access == Access::Api {
            return Ok(None);
        }
        let wanted = subject.access.scopes(&subject.repository);
        let Some(challenge) = Challenge::of(headers, &self.base, &wanted) else {
            return Ok(None);
        };
        self.check(&challenge)?;
        let challenge = challenge.widened(&wanted);
        self.learn(&wanted, &challenge);
        let matter = subject.matter();
        let earlier = self.challenges.get(&matter);
        let challenge = Arc::new(challenge.joined(earlier.as_deref()));
        self.challenges.insert(matter, challenge.clone());
        match refused {
            Some(Grant::Fixed(_)) => return Ok(None),
            Some(Grant::Login(_, login)) if *challenge == Challenge::Basic => {
                return Ok(self.reread(&login).await);
            }
            Some(Grant::Token(key, token)) => {
                self.forget(&key, &token);
                // It may have been got with a login that is no longer the one on the disk.
                self.source.renewed(&token.login).await;
            }
            Some(Grant::Login(..)) | None => {}
        }
        self.grant(wire, subject, &challenge).await.map(Some)
    }

    /// Something else to sign with after a 403, where the login has changed: registries that know
    /// only `Basic` answer so to a password that has expired, others to who has no access.
    pub(super) async fn after_403(
        &self,
        wire: &Arc<Wire>,
        subject: &Subject,
        refused: Option<Grant>,
    ) -> Result<Option<Grant>, Fault> {
        match refused {
            _ if subject.access == Access::Api => Ok(None),
            Some(Grant::Login(_, login)) => Ok(self.reread(&login).await),
            Some(Grant::Token(key, token)) => {
                if self.source.renewed(&token.login).await.is_none() {
                    return Ok(None);
                }
                self.forget(&key, &token);
                let challenge = Challenge::Bearer(key);
                self.grant(wire, subject, &challenge).await.map(Some)
            }
            Some(Grant::Fixed(_)) | None => Ok(None),
        }
    }

    /// A challenge to who wants `wanted` tells what others get, where it is as the spec has it.
    fn learn(&self, wanted: &Scopes, challenge: &Challenge) {
        let is_usual = match challenge {
            Challenge::Basic => true,
            Challenge::Bearer(key) => !wanted.is_empty() && key.scopes == *wanted,
        };
        if is_usual {
            *self.usual() = Some(challenge.clone());
        }
    }

    fn expected(&self, subject: &Subject) -> Option<Arc<Challenge>> {
        match self.usual().clone()? {
            Challenge::Bearer(_) if subject.repository.is_empty() => None,
            Challenge::Bearer(mut key) => {
                key.scopes = subject.access.scopes(&subject.repository);
                Some(Arc::new(Challenge::Bearer(key)))
            }
            Challenge::Basic => Some(Arc::new(Challenge::Basic)),
        }
    }

    fn usual(&self) -> MutexGuard<'_, Option<Challenge>> {
        self.usual.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn reread(&self, refused: &Login) -> Option<Grant> {
        let login = self.source.renewed(refused).await?;
        login.basic().map(|header| Grant::Login(header, login))
    }

    /// A password is never sent in clear text because of what an HTTPS host says.
    fn check(&self, challenge: &Challenge) -> Result<(), Fault> {
        match challenge {
            Challenge::Bearer(key)
                if key.realm.scheme() != "https" && key.realm.scheme() != self.base.scheme() =>
            {
                let realm = host_of(&key.realm);
                let text = format!("sends to a token server that is not HTTPS, {realm}");
                Err(Fault::wrong(text))
            }
            _ => Ok(()),
        }
    }

    async fn grant(
        &self,
        wire: &Arc<Wire>,
        subject: &Subject,
        challenge: &Challenge,
    ) -> Result<Grant, Fault> {
        match challenge {
            Challenge::Basic => {
                let login = self.source.login().await.map_err(Fault::lasting)?;
                match login.basic() {
                    Some(header) => Ok(Grant::Login(header, login)),
                    None => Err(Fault::lasting(Error::Refused {
                        status: 401,
                        message: "wants a user name and a password, and none is configured".into(),
                        challenge: None,
                    })),
                }
            }
            Challenge::Bearer(key) => {
                let token = match self.token(wire, subject, key) {
                    Ok(token) => token,
                    Err(fetched) => fetched.await.map_err(Fault::lasting)?,
                };
                Ok(Grant::Token(key.clone(), token))
            }
        }
    }

    /// A token that is good, else the one fetch of it that all wait for. One that ends soon is
    /// renewed meanwhile, so that a token server that is down for a while is not missed.
    fn token(
        &self,
        wire: &Arc<Wire>,
        subject: &Subject,
        key: &TokenKey,
    ) -> Result<Arc<Token>, Detached<Arc<Token>>> {
        let mut tokens = self.tokens();
        let held = tokens.get(key);
        let good = held.and_then(Held::good);
        if let Some(held) = held
            && !held.wants_fetch(good.as_ref())
        {
            return good.ok_or_else(|| held.fetched.clone());
        }
        if tokens.len() >= MOST_TOKENS {
            tokens.retain(|_, held| held.fetched.peek().is_none() || held.good().is_some());
        }
        let subject = Subject {
            action: Action::Token,
            reference: Arc::default(),
            ..subject.clone()
        };
        let fetch = token::fetch(wire.clone(), self.source.clone(), key.clone(), subject);
        let is_renewal = good.is_some();
        let fetched = detach(async move {
            let fetched = fetch.await;
            if let (true, Err(error)) = (is_renewal, &fetched) {
                tracing::warn!("a token that ends soon can't be renewed: {error}");
            }
            fetched
        });
        let held = Held {
            fetched: fetched.clone(),
            since: Instant::now(),
            before: good.clone(),
        };
        tokens.insert(key.clone(), held);
        good.ok_or(fetched)
    }

    /// Drops a token that was refused, unless somebody else has replaced it already.
    fn forget(&self, key: &TokenKey, refused: &Arc<Token>) {
        let mut tokens = self.tokens();
        let Some(held) = tokens.get_mut(key) else {
            return;
        };
        held.before.take_if(|before| Arc::ptr_eq(before, refused));
        if matches!(held.fetched.peek(), Some(Ok(token)) if Arc::ptr_eq(token, refused)) {
            tokens.remove(key);
        }
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<TokenKey, Held>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// A token that is good now.
    fn good(&self) -> Option<Arc<Token>> {
        let fetched = match self.fetched.peek() {
            Some(Ok(token)) => Some(token),
            _ => None,
        };
        let mut all = fetched.into_iter().chain(&self.before);
        all.find(|token| token.is_good()).cloned()
    }

    /// Whether it is time to ask for another one, having `good`.
    fn wants_fetch(&self, good: Option<&Arc<Token>>) -> bool {
        match (self.fetched.peek(), good) {
            (None, _) => false,
            (Some(Err(_)), Some(_)) => self.since.elapsed() >= RENEWAL,
            (Some(_), Some(good)) => !good.is_fresh(),
            (Some(_), None) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn token(renewed_after: Duration, good_for: Duration) -> Arc<Token> {
        Arc::new(Token::lasting(renewed_after, good_for))
    }

    /// `None`: it is on its way.
    fn held(fetched: Option<Result<Arc<Token>, Error>>, before: Option<Arc<Token>>) -> Held {
        let fetched = match fetched {
            Some(fetched) => std::future::ready(fetched).boxed().shared(),
            None => std::future::pending().boxed().shared(),
        };
        let _ = fetched.clone().now_or_never();
        Held {
            fetched,
            since: Instant::now(),
            before,
        }
    }

    fn failed() -> Option<Result<Arc<Token>, Error>> {
        Some(Err(Error::TimedOut("x".into())))
    }

    /// Whether there is something to sign with, and whether another token is asked for.
    fn state(held: &Held) -> (bool, bool) {
        let good = held.good();
        (good.is_some(), held.wants_fetch(good.as_ref()))
    }

    #[test]
    fn a_token_is_renewed_before_it_ends_and_does_until_then() {
        let (fresh, old) = (token(HOUR, HOUR), token(Duration::ZERO, HOUR));
        let ended = token(Duration::ZERO, Duration::ZERO);
        assert_eq!(state(&held(Some(Ok(fresh)), None)), (true, false));
        assert_eq!(state(&held(Some(Ok(old.clone())), None)), (true, true));
        assert_eq!(state(&held(Some(Ok(ended.clone())), None)), (false, true));
        assert_eq!(state(&held(None, None)), (false, false));
        assert_eq!(state(&held(None, Some(old))), (true, false));
        assert_eq!(state(&held(None, Some(ended))), (false, false));
    }

    #[test]
    fn a_renewal_that_failed_is_not_tried_at_once() {
        let old = token(Duration::ZERO, HOUR);
        let mut renewal = held(failed(), Some(old));
        assert_eq!(state(&renewal), (true, false));
        renewal.since -= RENEWAL;
        assert_eq!(state(&renewal), (true, true));
        assert_eq!(state(&held(failed(), None)), (false, true), "nobody waits");
    }
}
