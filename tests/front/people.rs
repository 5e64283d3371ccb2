//! Users and tokens, in files.

use std::path::PathBuf;

use tempfile::TempDir;
use tidegate::login;

use crate::house::Plan;

/// `alice` with the password `wonderland`.
pub(crate) const ALICE: &str = "Basic YWxpY2U6d29uZGVybGFuZA==";
/// `alice` with the password `nonsense`.
pub(crate) const ALICE_WRONG: &str = "Basic YWxpY2U6bm9uc2Vuc2U=";
/// `bob` with the password `builder`.
pub(crate) const BOB: &str = "Basic Ym9iOmJ1aWxkZXI=";
/// `bob` with the password `nonsense`.
pub(crate) const BOB_WRONG: &str = "Basic Ym9iOm5vbnNlbnNl";
/// The token of `ci`.
pub(crate) const CI: &str = "Bearer token-of-the-build-machine";
/// `ci` with its token as a password.
pub(crate) const CI_BY_PASSWORD: &str = "Basic Y2k6dG9rZW4tb2YtdGhlLWJ1aWxkLW1hY2hpbmU=";

/// At bcrypt's lowest cost, so that a test may be wrong often.
const USERS: &str = "\
alice:$2y$04$itm6IKy0ucLb49hZEoE5sOG0Pmx7EMGMa6dW8jBrhUh8sI3kGav1G
bob:$2y$04$XT5sChpTq5XDVFEp9RIoWOHn4BlCSWfCc68lJvRJgvQImRJsboxfS
";
const TOKENS: &str = "ci:token-of-the-build-machine\n";

/// The files, as long as this lives.
pub(crate) struct People {
    folder: TempDir,
}

impl People {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let people = Self { folder };
        std::fs::write(people.users(), USERS).unwrap();
        std::fs::write(people.tokens(), TOKENS).unwrap();
        people
    }

    pub(crate) fn users(&self) -> PathBuf {
        self.folder.path().join("users")
    }

    pub(crate) fn tokens(&self) -> PathBuf {
        self.folder.path().join("tokens")
    }

    pub(crate) fn config(&self) -> login::Config {
        login::Config {
            htpasswd: Some(self.users()),
            tokens: Some(self.tokens()),
            certificates: false,
        }
    }

    /// `plan`, for these people only.
    pub(crate) fn only(&self, mut plan: Plan) -> Plan {
        plan.front.login = Some(self.config());
        plan
    }
}
