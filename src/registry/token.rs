use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use http::HeaderValue;
use http::Method;
use serde::Deserialize;
use url::Url;

use super::Config;
use super::Error;
use super::challenge::Challenge;
use super::challenge::Realm;
use super::credential;
use super::credential::Credential;
use super::credential::sensitive;
use super::exchange::Request;
use super::exchange::Wire;
use crate::ledger::Action;
use crate::ledger::FlowId;
use crate::oci::Name;

/// Signs requests in: learns what the registry wants from its first 401, then sends the right
/// header with each request at once.
#[derive(Debug, Default)]
pub(super) struct SignIn {
    learned: Mutex<Option<Challenge>>,
    tokens: Mutex<HashMap<BTreeSet<String>, Arc<Slot>>>,
    credential: tokio::sync::Mutex<Option<(Instant, Credential)>>,
}

/// The token for one set of scopes; locked while it is fetched, so that one request serves all.
type Slot = tokio::sync::Mutex<Option<Token>>;

#[derive(Clone, Debug)]
struct Token {
    header: Arc<HeaderValue>,
    renew: Instant,
}

#[derive(Deserialize)]
struct Issued {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// What a token is good for where its issuer doesn't say (token specification, "expires_in").
const LIFETIME: Duration = Duration::from_secs(60);
/// How long a credential is used before files and helpers are asked again.
const CREDENTIAL_AGE: Duration = Duration::from_secs(600);
/// The longest answer of a token server, in bytes.
const LONGEST_ANSWER: usize = 1 << 20;
/// The most token slots that are kept.
const SLOTS: usize = 4096;

impl SignIn {
    /// The `Authorization` for a request to `name`; `None` where none is wanted.
    ///
    /// # Errors
    /// When the credential can't be looked up, or the token server doesn't give a token.
    pub(super) async fn header(
        &self,
        (config, wire): (&Config, &Wire),
        flow: FlowId,
        name: Option<&Name>,
    ) -> Result<Option<Arc<HeaderValue>>, Error> {
        let challenge = self.learned().clone();
        if let super::Credentials::Token(token) = &config.credentials {
            return Ok(sensitive(&format!("Bearer {}", token.expose())));
        }
        match challenge {
            None => Ok(None),
            Some(Challenge::Basic) => Ok(self.credential(config).await?.basic()),
            Some(Challenge::Bearer(mut realm)) => {
                realm
                    .scopes
                    .extend(name.map(|name| format!("repository:{name}:pull")));
                let slot = self.slot(&realm.scopes);
                let mut slot = slot.lock().await;
                if let Some(token) = slot.as_ref().filter(|token| Instant::now() < token.renew) {
                    return Ok(Some(token.header.clone()));
                }
                let credential = self.credential(config).await?;
                let token = fetch(wire, flow, &realm, &credential).await?;
                let header = token.header.clone();
                *slot = Some(token);
                Ok(Some(header))
            }
        }
    }

    /// Takes in a 401: learns its challenge, and drops what was `sent` in vain. Whether another
    /// attempt makes sense.
    pub(super) async fn refused(
        &self,
        headers: &http::HeaderMap,
        name: Option<&Name>,
        sent: Option<&Arc<HeaderValue>>,
    ) -> bool {
        let Some(mut challenge) = Challenge::of(headers) else {
            return false;
        };
        if let Challenge::Bearer(realm) = &mut challenge {
            // What one repository needs is added for each request; the others' is no business of
            // it.
            realm
                .scopes
                .retain(|scope| !scope.starts_with("repository:"));
        }
        *self.learned() = Some(challenge.clone());
        let Some(sent) = sent else { return true };
        *self.credential.lock().await = None;
        if let Challenge::Bearer(mut realm) = challenge {
            realm
                .scopes
                .extend(name.map(|name| format!("repository:{name}:pull")));
            let slot = self.slot(&realm.scopes);
            let mut slot = slot.lock().await;
            // Another request may have got a new one meanwhile.
            if slot
                .as_ref()
                .is_some_and(|token| Arc::ptr_eq(&token.header, sent))
            {
                *slot = None;
            }
        }
        true
    }

    async fn credential(&self, config: &Config) -> Result<Credential, Error> {
        let mut kept = self.credential.lock().await;
        if let Some((since, credential)) = kept.as_ref()
            && since.elapsed() < CREDENTIAL_AGE
        {
            return Ok(credential.clone());
        }
        let credential = credential::look_up(config).await?;
        *kept = Some((Instant::now(), credential.clone()));
        Ok(credential)
    }

    fn slot(&self, scopes: &BTreeSet<String>) -> Arc<Slot> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= SLOTS {
            tokens.clear();
        }
        tokens.entry(scopes.clone()).or_default().clone()
    }

    fn learned(&self) -> MutexGuard<'_, Option<Challenge>> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for a token.
async fn fetch(
    wire: &Wire,
    flow: FlowId,
    realm: &Realm,
    credential: &Credential,
) -> Result<Token, Error> {
    let request = request(flow, realm, credential)?;
    let asked = Instant::now();
    let mut answer = wire
        .send(request, None)
        .await?
        .succeed()
        .await
        .map_err(explain)?;
    let body = answer
        .body
        .collect(LONGEST_ANSWER)
        .await?
        .unwrap_or_default();
    issued(&body, asked)
}

/// The request for a token: a `GET`, or, with docker's identity token, an OAuth 2 `POST` (token
/// specification).
fn request(flow: FlowId, realm: &Realm, credential: &Credential) -> Result<Request, Error> {
    let mut url: Url = realm.url.parse().map_err(|error| {
        Error::Wrong(format!(
            "a token realm that is no URL ('{}': {error})",
            realm.url
        ))
    })?;
    let scopes = realm.scopes.iter().map(String::as_str);
    let service = realm.service.as_deref().map(|service| ("service", service));
    let form = match credential {
        Credential::Identity(token) => {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token")
                .append_pair("client_id", "tidegate");
            form.append_pair("refresh_token", token.expose())
                .extend_pairs(service);
            form.append_pair("scope", &scopes.collect::<Vec<_>>().join(" "));
            Some(form.finish())
        }
        _ => {
            let scopes = scopes.map(|scope| ("scope", scope));
            url.query_pairs_mut()
                .extend_pairs(service.into_iter().chain(scopes));
            None
        }
    };
    Ok(Request {
        flow,
        action: Action::Token,
        method: if form.is_some() {
            Method::POST
        } else {
            Method::GET
        },
        url,
        repository: Arc::default(),
        reference: Arc::default(),
        accept: None,
        range: None,
        authorization: credential.basic(),
        form,
    })
}

fn issued(body: &[u8], asked: Instant) -> Result<Token, Error> {
    let wrong = || Error::Wrong("the token server sent no token".into());
    let issued: Issued = serde_json::from_slice(body).map_err(|_| wrong())?;
    let text = issued.token.or(issued.access_token).ok_or_else(wrong)?;
    let header = sensitive(&format!("Bearer {text}")).ok_or_else(wrong)?;
    let lifetime = issued.expires_in.map_or(LIFETIME, Duration::from_secs);
    // Renewed a fifth of its life, at most half a minute, before it ends.
    let margin = (lifetime / 5).min(Duration::from_secs(30));
    Ok(Token {
        header,
        renew: asked + (lifetime - margin),
    })
}

/// A token server's refusal is not the repository's absence.
fn explain(error: Error) -> Error {
    match error {
        Error::NotFound { .. } => Error::Wrong("the token server answered 404".into()),
        Error::Refused { status, message } => Error::Refused {
            status,
            message: format!("the token server: {message}"),
        },
        error => error,
    }
}
