use std::fmt;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Deserializer;
use serde::de;

use crate::registry::Credentials;
use crate::registry::Secret;

/// `credentials` of an upstream: a word, or a table of one of four forms.
#[derive(Clone, Debug)]
pub(super) struct Form(Credentials);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    username: Option<String>,
    password: Option<String>,
    token: Option<String>,
    helper: Option<String>,
    file: Option<PathBuf>,
}

const WANTED: &str = r#""docker-config", "anonymous", "passthrough", { username, password }, { token }, { helper } or { file }"#;

impl Form {
    /// Whether each client's own credentials are passed on.
    pub(super) fn is_passthrough(&self) -> bool {
        self.0 == Credentials::Passthrough
    }

    /// With the file's path relative to `folder`.
    pub(super) fn within(self, folder: &Path) -> Credentials {
        match self.0 {
            Credentials::File(path) => Credentials::File(folder.join(path)),
            other => other,
        }
    }
}

impl Table {
    fn read(self) -> Result<Credentials, String> {
        match self {
            Self {
                username: Some(username),
                password: Some(password),
                token: None,
                helper: None,
                file: None,
            } => {
                let password = Secret::new(password);
                Ok(Credentials::Basic { username, password })
            }
            Self {
                username: None,
                password: None,
                token: Some(token),
                helper: None,
                file: None,
            } => Ok(Credentials::Token(Secret::new(token))),
            Self {
                username: None,
                password: None,
                token: None,
                helper: Some(helper),
                file: None,
            } => {
                let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
                if helper.is_empty() || !helper.chars().all(legal) {
                    return Err(r#"a helper is what follows "docker-credential-" in its program's name, such as "ecr-login""#.to_owned());
                }
                Ok(Credentials::Helper(helper))
            }
            Self {
                username: None,
                password: None,
                token: None,
                helper: None,
                file: Some(file),
            } => Ok(Credentials::File(file)),
            _ => Err(format!(
                "these keys do not go together; this must be one of {WANTED}"
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Form {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Form;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(WANTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Form, E> {
                match text {
                    "docker-config" => Ok(Form(Credentials::DockerConfig)),
                    "anonymous" => Ok(Form(Credentials::Anonymous)),
                    "passthrough" => Ok(Form(Credentials::Passthrough)),
                    // It may be a secret at the wrong place: it is not repeated.
                    _ => Err(E::custom(format!(
                        "there is no such choice; this must be {WANTED}"
                    ))),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, entries: A) -> Result<Form, A::Error> {
                let table = Table::deserialize(de::value::MapAccessDeserializer::new(entries))?;
                table.read().map(Form).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
