use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderValue;
use http::StatusCode;
use http::header;
use http::request::Parts;

use crate::flow::Ask;
use crate::flow::Caller;
use crate::login::Access;
use crate::login::Login;
use crate::login::Refusal;
use crate::login::User;

use super::exchange::Asker;
use super::fault::Fault;
use super::fault::whole_seconds;

/// Who may come in, and what they may have.
#[derive(Debug)]
pub(super) struct Door {
    login: Option<Arc<Login>>,
    access: Arc<ArcSwap<Access>>,
}

impl Door {
    /// Without a login, everybody comes in.
    pub(super) fn new(login: Option<Arc<Login>>, access: Arc<ArcSwap<Access>>) -> Self {
        Self { login, access }
    }

    /// Who asks: by the headers of the request, or by the certificate of its connection. `None`
    /// where nobody needs a name.
    pub(super) async fn admit(
        &self,
        request: &Parts,
        asker: &Asker,
    ) -> Result<Option<User>, Fault> {
        let Some(login) = &self.login else {
            return Ok(asker.user.clone());
        };
        let config = login.config();
        let headers = &request.headers;
        let sent = config.by_header() && headers.contains_key(header::AUTHORIZATION);
        match &asker.user {
            Some(user) if config.certificates && !sent => Ok(Some(user.clone())),
            _ if !config.by_header() => Err(Fault::nameless()),
            _ => Ok(Some(login.admit(headers, asker.address).await?)),
        }
    }

    /// What was the caller's login here concerns no upstream.
    pub(super) fn strip(&self, caller: &mut Caller) {
        if self.login.as_ref().is_some_and(|l| l.config().by_header()) {
            caller.authorization = None;
        }
    }

    /// Lets through what `user` may pull.
    pub(super) fn pass(&self, user: Option<&User>, ask: &mut Ask) -> Result<(), Fault> {
        self.strip(&mut ask.caller);
        let access = self.access.load();
        if access.permits_repository(user, &ask.repository) {
            Ok(())
        } else {
            Err(Fault::not_allowed(user, ask))
        }
    }

    /// Leaves of `repositories`, `<upstream>/<name>` each, those that `user` may pull.
    pub(super) fn hide(&self, user: Option<&User>, repositories: &mut Vec<String>) {
        let access = self.access.load();
        repositories.retain(|repository| access.permits(user, repository));
    }
}

impl Fault {
    /// The certificate names nobody.
    fn nameless() -> Self {
        let message = "your client certificate names nobody: it needs one common name, or an \
                       alternative name";
        Self::new(StatusCode::FORBIDDEN, "DENIED", message)
    }

    /// No rule gives it to this user.
    fn not_allowed(user: Option<&User>, ask: &Ask) -> Self {
        let user = user.map_or("nobody", User::as_str);
        let message = format!(
            "{user} may not pull {}: no [[access]] of this proxy allows it",
            ask.repository
        );
        Self::new(StatusCode::FORBIDDEN, "DENIED", message).about(&ask.repository, "")
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let unauthorized = |message: &str| {
            let challenge = HeaderValue::from_static("Basic realm=\"tidegate\"");
            Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
                .with(header::WWW_AUTHENTICATE, challenge)
        };
        match refusal {
            Refusal::Missing => unauthorized("log in to this proxy first"),
            Refusal::Wrong => unauthorized("this proxy knows no such user with this password"),
            Refusal::Throttled(pause) => {
                let message = "too many logins were wrong; try again later";
                Self::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message)
                    .with(header::RETRY_AFTER, whole_seconds(pause))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::Want;
    use crate::ledger::FlowId;
    use crate::login::Config;
    use crate::oci::Repository;
    use crate::registry::Secret;

    use super::*;

    fn passed_on(config: Option<Config>) -> bool {
        let login = config.map(|config| Arc::new(Login::load(config).unwrap()));
        let mut ask = Ask {
            repository: Repository::new("docker.io".parse().unwrap(), "a".parse().unwrap()),
            want: Want::Tags {
                query: String::new(),
            },
            head: false,
            flow: FlowId::next(),
            caller: Caller {
                authorization: Some(Secret::new("Basic YTpi")),
            },
        };
        let door = Door::new(login, Arc::default());
        door.pass(None, &mut ask).unwrap();
        ask.caller.authorization.is_some()
    }

    #[test]
    fn what_is_the_login_here_goes_no_further() {
        let tokens = tempfile::NamedTempFile::new().unwrap();
        let by_token = Config {
            tokens: Some(tokens.path().to_owned()),
            ..Config::default()
        };
        let by_certificate = Config {
            certificates: true,
            ..Config::default()
        };
        assert!(!passed_on(Some(by_token)));
        assert!(passed_on(Some(by_certificate)));
        assert!(passed_on(None));
    }
}
