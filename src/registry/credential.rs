//! As whom to ask one host: from the configuration, a file, or docker's `config.json`.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use docker_credential::CredentialRetrievalError;
use docker_credential::DockerCredential;
use http::HeaderValue;

use super::Credentials;
use super::Error;
use super::Secret;
use super::detached::Detached;
use super::detached::detach;

/// As whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// As nobody.
    Nobody,
    /// With a user name and a password.
    Password { username: String, password: Secret },
    /// With a bearer token as it is.
    Bearer(Secret),
    /// With a refresh token for the token server (docker's `identitytoken`).
    Identity(Secret),
}

impl Login {
    /// `Authorization` for a registry or a token server that wants `Basic`.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        let Self::Password { username, password } = self else {
            return None;
        };
        let pair = BASE64_STANDARD.encode(format!("{username}:{}", password.expose()));
        sensitive(format!("Basic {pair}"))
    }

    /// `Authorization` for an API that wants an access token: as a token, or as the password of
    /// `$oauthtoken`, by which Quay takes the same token from docker.
    pub(super) fn access_token(&self) -> Option<HeaderValue> {
        match self {
            Self::Password { username, password } if username == "$oauthtoken" => bearer(password),
            Self::Bearer(token) => bearer(token),
            Self::Password { .. } | Self::Identity(_) | Self::Nobody => None,
        }
    }
}

/// `Authorization` with a bearer token; `None` where its text can't stand in a header.
pub(super) fn bearer(token: &Secret) -> Option<HeaderValue> {
    sensitive(format!("Bearer {}", token.expose()))
}

/// `Authorization` as somebody sent it; `None` where it can't stand in a header.
pub(super) fn verbatim(authorization: &Secret) -> Option<HeaderValue> {
    sensitive(authorization.expose().to_owned())
}

fn sensitive(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// How long a reading (a helper's run) may take.
const READING: Duration = Duration::from_secs(30);
/// Refused credentials are read again at most this often, for it may mean a process each time.
const REREAD: Duration = Duration::from_secs(5);

/// Where the login for one host comes from. It is read when first needed, and again when the host
/// refused it; many readers wait for one reading.
#[derive(Debug)]
pub(super) struct Source {
    credentials: Credentials,
    server: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    reading: Option<Detached<Arc<Login>>>,
    reread: Option<Instant>,
}

impl Source {
    /// The source for `host`, with its port where it has one.
    pub(super) fn new(credentials: Credentials, host: &str) -> Self {
        Self {
            credentials,
            server: docker_key(host).to_owned(),
            state: Mutex::default(),
        }
    }

    /// As whom to ask.
    ///
    /// # Errors
    /// `Config` when a credential file or helper can't be read.
    pub(super) async fn login(&self) -> Result<Arc<Login>, Error> {
        let reading = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let failed = matches!(
                state.reading.as_ref().map(Detached::peek),
                Some(Some(Err(_)))
            );
            match &state.reading {
                Some(reading) if !failed && !self.is_file() => reading.clone(),
                _ => self.read(&mut state),
            }
        };
        self.finish(reading).await
    }

    /// The login after `refused` was refused, where it has changed meanwhile.
    pub(super) async fn renewed(&self, refused: &Login) -> Option<Arc<Login>> {
        let reading = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let current = state.reading.clone()?;
            let is_refused = matches!(current.peek(), Some(Ok(login)) if login.as_ref() == refused);
            let recent = state.reread.is_some_and(|at| at.elapsed() < REREAD);
            if !self.can_change() || (is_refused && recent && !self.is_file()) {
                return None;
            }
            if is_refused {
                state.reread = Some(Instant::now());
                self.read(&mut state)
            } else {
                current
            }
        };
        let login = self.finish(reading).await.ok()?;
        (login.as_ref() != refused).then_some(login)
    }

    fn can_change(&self) -> bool {
        use Credentials::{DockerConfig, File, Helper};
        matches!(self.credentials, DockerConfig | Helper(_) | File(_))
    }

    /// A file is small, and read each time.
    fn is_file(&self) -> bool {
        matches!(self.credentials, Credentials::File(_))
    }

    fn read(&self, state: &mut State) -> Detached<Arc<Login>> {
        let credentials = self.credentials.clone();
        let server = self.server.clone();
        let reading = detach(async move {
            let login = match credentials {
                Credentials::Anonymous | Credentials::Passthrough => Login::Nobody,
                Credentials::Basic { username, password } => Login::Password { username, password },
                Credentials::Token(token) => Login::Bearer(token),
                Credentials::DockerConfig => {
                    blocking(move || Ok(from_docker(config_path().as_deref(), &server))).await?
                }
                Credentials::Helper(name) => blocking(move || from_helper(&name, &server)).await?,
                Credentials::File(path) => blocking(move || from_file(&path)).await?,
            };
            Ok(Arc::new(login))
        });
        state.reading = Some(reading.clone());
        reading
    }

    async fn finish(&self, reading: Detached<Arc<Login>>) -> Result<Arc<Login>, Error> {
        // A helper that hangs is left to itself: it is not started a second time.
        match tokio::time::timeout(READING, reading).await {
            Ok(login) => login,
            Err(_) => Err(Error::Config(format!(
                "the credential helper for {} does not answer within {READING:?}",
                self.server
            ))),
        }
    }
}

async fn blocking(
    read: impl FnOnce() -> Result<Login, Error> + Send + 'static,
) -> Result<Login, Error> {
    match tokio::task::spawn_blocking(read).await {
        Ok(login) => login,
        Err(error) => Err(Error::Config(format!("credentials can't be read: {error}"))),
    }
}

/// What docker's configuration calls a host: Docker Hub has a name of its own there.
fn docker_key(host: &str) -> &str {
    match host {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => "https://index.docker.io/v1/",
        other => other,
    }
}

fn config_path() -> Option<PathBuf> {
    let folder = match std::env::var_os("DOCKER_CONFIG") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => PathBuf::from(std::env::var_os("HOME")?).join(".docker"),
    };
    Some(folder.join("config.json"))
}

/// As docker would sign in; as nobody where it would not, or where its helper fails.
pub(super) fn from_docker(config: Option<&Path>, server: &str) -> Login {
    let Some(file) = config.and_then(|path| File::open(path).ok()) else {
        return Login::Nobody;
    };
    match docker_credential::get_credential_from_reader(BufReader::new(file), server) {
        Ok(found) => found.into(),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Login::Nobody,
        Err(error) if is_unknown(&error) => Login::Nobody,
        Err(error) => {
            let path = config.unwrap_or(Path::new("")).display();
            let why = explain(&error);
            tracing::warn!("{path} gives no credentials for {server}: {why}; asking as nobody");
            Login::Nobody
        }
    }
}

fn from_helper(name: &str, server: &str) -> Result<Login, Error> {
    let config = serde_json::json!({ "credHelpers": { server: name } }).to_string();
    match docker_credential::get_credential_from_reader(config.as_bytes(), server) {
        Ok(found) => Ok(found.into()),
        Err(error) if is_unknown(&error) => Ok(Login::Nobody),
        Err(error) => Err(Error::Config(format!(
            "docker-credential-{name} gives no credentials for {server}: {}",
            explain(&error)
        ))),
    }
}

pub(super) fn from_file(path: &Path) -> Result<Login, Error> {
    let unusable = |why: &str| {
        let path = path.display();
        Error::Config(format!("the credential file {path} is unusable: {why}"))
    };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(&error.to_string()))?;
    let (username, password) = text
        .trim_end_matches(['\r', '\n'])
        .split_once(':')
        .ok_or_else(|| unusable("expected one line, username:password"))?;
    Ok(Login::Password {
        username: username.to_owned(),
        password: Secret::new(password),
    })
}

/// A helper's way to say that it has none (docker/docker-credential-helpers, errors).
fn is_unknown(error: &CredentialRetrievalError) -> bool {
    use CredentialRetrievalError::HelperFailure;
    matches!(error, HelperFailure { stdout, stderr, .. }
        if stdout.contains("credentials not found") || stderr.contains("credentials not found"))
}

/// Without what a helper printed to stdout: that is where secrets go.
fn explain(error: &CredentialRetrievalError) -> String {
    use CredentialRetrievalError::{HelperCommunicationError, HelperFailure};
    match error {
        HelperFailure { stderr, .. } => {
            let line = stderr.lines().next().unwrap_or_default();
            format!("it failed: {}", line.chars().take(200).collect::<String>())
        }
        HelperCommunicationError => "the helper can't be started (is it in PATH?)".to_owned(),
        other => other.to_string(),
    }
}

impl From<DockerCredential> for Login {
    fn from(found: DockerCredential) -> Self {
        match found {
            DockerCredential::IdentityToken(token) => Self::Identity(Secret::new(token)),
            DockerCredential::UsernamePassword(username, password) => Self::Password {
                username,
                password: Secret::new(password),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(username: &str, password: &str) -> Login {
        Login::Password {
            username: username.into(),
            password: Secret::new(password),
        }
    }

    #[test]
    fn reads_dockers_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        assert_eq!(from_docker(Some(&path), "quay.io"), Login::Nobody);
        assert_eq!(from_docker(None, "quay.io"), Login::Nobody);
        std::fs::write(
            &path,
            r#"{"auths":{
                "https://index.docker.io/v1/":{"auth":"aHViOnM6M2NyZXQ="},
                "localhost:5000":{"username":"me","password":"pw"},
                "acr.test":{"identitytoken":"refresh-me"},
                "broken.test":{"auth":"!"}
            }}"#,
        )
        .unwrap();
        let read = |host| from_docker(Some(&path), docker_key(host));
        assert_eq!(read("registry-1.docker.io"), password("hub", "s:3cret"));
        assert_eq!(read("docker.io"), password("hub", "s:3cret"));
        assert_eq!(read("localhost:5000"), password("me", "pw"));
        assert_eq!(read("acr.test"), Login::Identity(Secret::new("refresh-me")));
        assert_eq!(read("broken.test"), Login::Nobody);
        assert_eq!(read("quay.io"), Login::Nobody);
    }

    #[test]
    fn says_what_is_wrong_with_a_file_or_helper() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login");
        let error = from_file(&path).unwrap_err().to_string();
        assert!(error.contains("login is unusable: No such file"), "{error}");
        std::fs::write(&path, "hunter2").unwrap();
        let error = from_file(&path).unwrap_err().to_string();
        assert!(error.contains("username:password"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        std::fs::write(&path, "me:with:colon\n").unwrap();
        assert_eq!(from_file(&path).unwrap(), password("me", "with:colon"));

        let error = from_helper("not-there", "quay.io").unwrap_err().to_string();
        assert!(error.contains("docker-credential-not-there"), "{error}");
        assert!(error.contains("PATH"), "{error}");
    }

    #[test]
    fn no_helpers_output_is_told() {
        let failure = CredentialRetrievalError::HelperFailure {
            helper: "x".into(),
            stdout: "hunter2".into(),
            stderr: "locked\nmore".into(),
        };
        assert_eq!(explain(&failure), "it failed: locked");
    }

    #[test]
    fn shows_no_secret() {
        let shown = format!(
            "{:?} {:?} {:?} {:?}",
            password("me", "hunter2"),
            Login::Bearer(Secret::new("hunter2")),
            password("me", "hunter2").basic(),
            bearer(&Secret::new("hunter2")),
        );
        assert!(
            !shown.contains("hunter2") && !shown.contains("Basic"),
            "{shown}"
        );
    }
}
