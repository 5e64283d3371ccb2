use std::path::Path;

use sha2::Digest as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::files::unusable;

use super::User;

/// Named tokens, by their SHA-256.
#[derive(Default)]
pub(super) struct Tokens(Vec<(User, [u8; 32])>);

const WANTED: &str = "this is no token with a name: write name:token, or name:sha256: and the \
                      token's digest in hex";

impl Tokens {
    /// Reads the text of the file `path`.
    ///
    /// # Errors
    /// When a line is no token with a name. File and line are named, the token is not.
    pub(super) fn parse(path: &Path, text: &str) -> std::io::Result<Self> {
        let mut all: Vec<(User, [u8; 32])> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |problem: &str| {
                let place = path.display();
                let place = format!("{place}:{}", number + 1);
                unusable(Path::new(&place), problem)
            };
            let (name, token) = line
                .split_once(':')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| wrong(WANTED))?;
            let digest = digest(token).ok_or_else(|| wrong(WANTED))?;
            if all.iter().any(|(_, other)| *other == digest) {
                return Err(wrong("another line has the same token"));
            }
            all.push((User::new(name), digest));
        }
        Ok(Self(all))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a token has this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(user, _)| user.as_str() == name)
    }

    /// Whose token this is: `name`'s, or anybody's without a name. All are compared, each in
    /// constant time.
    pub(super) fn owner(&self, token: &[u8], name: Option<&str>) -> Option<User> {
        let digest = Sha256::digest(token);
        let mut found = None;
        for (user, known) in &self.0 {
            let is_named = name.is_none_or(|name| name == user.as_str());
            if bool::from(known.ct_eq(digest.as_slice())) && is_named {
                found = Some(user);
            }
        }
        found.cloned()
    }
}

/// The digest of a token as it stands in the file. A token must fit into a header as one word.
fn digest(token: &str) -> Option<[u8; 32]> {
    match token.strip_prefix("sha256:") {
        Some(hex) => from_hex(hex.as_bytes()),
        None => {
            let is_word = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
            is_word.then(|| Sha256::digest(token.as_bytes()).into())
        }
    }
}

fn from_hex(hex: &[u8]) -> Option<[u8; 32]> {
    let nibble = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = [0; 32];
    if hex.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = u8::try_from(nibble(pair[0])? << 4 | nibble(pair[1])?).ok()?;
    }
    Some(bytes)
}
