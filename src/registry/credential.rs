use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use docker_credential::CredentialRetrievalError;
use docker_credential::DockerCredential;
use http::HeaderValue;

use super::Config;
use super::Credentials;
use super::Error;
use super::Secret;

/// What a registry, or its token server, is shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Credential {
    /// Nothing.
    Anonymous,
    /// A user name and a password.
    Basic { username: String, password: Secret },
    /// A refresh token for the token server (docker's "identity token").
    Identity(Secret),
    /// A bearer token as it is.
    Token(Secret),
}

/// docker's key for Docker Hub in `config.json`.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Looks up the credential, as it is now: files and helpers are asked each time.
///
/// # Errors
/// When a file can't be read, or a helper fails.
pub(super) async fn look_up(config: &Config) -> Result<Credential, Error> {
    match &config.credentials {
        Credentials::Anonymous => Ok(Credential::Anonymous),
        Credentials::Token(token) => Ok(Credential::Token(token.clone())),
        Credentials::Basic { username, password } => Ok(Credential::Basic {
            username: username.clone(),
            password: password.clone(),
        }),
        Credentials::File(path) => {
            blocking({
                let path = path.clone();
                move || from_file(&path)
            })
            .await
        }
        Credentials::Helper(helper) => {
            let json = serde_json::json!({ "credsStore": helper }).to_string();
            let server = keys(config).remove(0);
            blocking(move || from_docker(json.as_bytes(), &[server])).await
        }
        Credentials::DockerConfig => {
            let servers = keys(config);
            blocking(move || from_docker_config(&servers)).await
        }
    }
}

async fn blocking<F>(work: F) -> Result<Credential, Error>
where
    F: FnOnce() -> Result<Credential, Error> + Send + 'static,
{
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome.unwrap_or_else(|error| Err(Error::Config(format!("credentials: {error}"))))
}

fn from_file(path: &Path) -> Result<Credential, Error> {
    let fail = |why: String| Error::Config(format!("credentials file {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    let split = text.trim_end_matches(['\r', '\n']).split_once(':');
    let (username, password) = split.ok_or_else(|| fail("expected username:password".into()))?;
    Ok(Credential::Basic {
        username: username.into(),
        password: Secret::new(password),
    })
}

fn from_docker_config(servers: &[String]) -> Result<Credential, Error> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")));
    let Some(path) = folder.map(|folder| folder.join("config.json")) else {
        return Ok(Credential::Anonymous);
    };
    match std::fs::read(&path) {
        Ok(json) => from_docker(&json, servers),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Credential::Anonymous),
        Err(error) => Err(Error::Config(format!("{}: {error}", path.display()))),
    }
}

fn from_docker(json: &[u8], servers: &[String]) -> Result<Credential, Error> {
    use CredentialRetrievalError::{HelperFailure, NoCredentialConfigured};
    for server in servers {
        match docker_credential::get_credential_from_reader(json, server) {
            Ok(found) => return Ok(found.into()),
            Err(NoCredentialConfigured) => {}
            // A store that has nothing for this server says so by failing.
            Err(HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => {}
            Err(error) => {
                return Err(Error::Config(format!(
                    "docker's credentials for {server}: {error}"
                )));
            }
        }
    }
    Ok(Credential::Anonymous)
}

/// Under which names docker keeps the credential: what clients call the registry, then its host.
fn keys(config: &Config) -> Vec<String> {
    if config.name.as_str() == "docker.io" {
        return vec![DOCKER_HUB.into()];
    }
    let host = config.url.host_str().unwrap_or_default();
    let host = match config.url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let mut keys = vec![config.name.to_string(), host];
    keys.dedup();
    keys
}

impl Credential {
    /// The `Authorization` header for Basic (RFC 7617), where there is a password to show.
    pub(super) fn basic(&self) -> Option<Arc<HeaderValue>> {
        let Self::Basic { username, password } = self else {
            return None;
        };
        let pair = BASE64_STANDARD.encode(format!("{username}:{}", password.expose()));
        sensitive(&format!("Basic {pair}"))
    }
}

/// A header value that no log prints.
pub(super) fn sensitive(text: &str) -> Option<Arc<HeaderValue>> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(Arc::new(value))
}

impl From<DockerCredential> for Credential {
    fn from(found: DockerCredential) -> Self {
        match found {
            DockerCredential::IdentityToken(token) => Self::Identity(Secret::new(token)),
            DockerCredential::UsernamePassword(user, token) if user == "<token>" => {
                Self::Identity(Secret::new(token))
            }
            DockerCredential::UsernamePassword(username, password) => Self::Basic {
                username,
                password: Secret::new(password),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_docker_s_config() {
        let json = br#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"dTpw"},
            "ghcr.io":{"identitytoken":"t"}}}"#;
        let basic = from_docker(json, &[DOCKER_HUB.into()]).unwrap();
        assert_eq!(
            basic,
            Credential::Basic {
                username: "u".into(),
                password: Secret::new("p")
            }
        );
        assert_eq!(basic.basic().unwrap().to_str().unwrap(), "Basic dTpw");
        assert!(!format!("{basic:?}").contains("\"p\""));
        let identity = from_docker(json, &["other".into(), "ghcr.io".into()]).unwrap();
        assert_eq!(identity, Credential::Identity(Secret::new("t")));
        assert_eq!(
            from_docker(json, &["quay.io".into()]).unwrap(),
            Credential::Anonymous
        );
        assert!(from_docker(b"{", &["quay.io".into()]).is_err());
    }

    #[test]
    fn reads_a_file_of_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "user:pass:word\n").unwrap();
        let expected = Credential::Basic {
            username: "user".into(),
            password: Secret::new("pass:word"),
        };
        assert_eq!(from_file(&path).unwrap(), expected);
        std::fs::write(&path, "nothing").unwrap();
        assert!(from_file(&path).unwrap_err().to_string().contains("secret"));
    }
}
