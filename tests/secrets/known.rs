//! The secrets of a test, in all the forms that they travel in.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// What must be told nowhere.
#[derive(Debug, Default)]
pub(crate) struct Secrets(Vec<Secret>);

#[derive(Debug)]
struct Secret {
    what: String,
    forms: Vec<String>,
}

impl Secrets {
    /// `text` is a secret; it is given back.
    pub(crate) fn keep(&mut self, what: &str, text: &str) -> String {
        let mut forms = vec![text.to_owned()];
        forms.push(BASE64_STANDARD_NO_PAD.encode(text));
        forms.push(BASE64_URL_SAFE_NO_PAD.encode(text));
        forms.push(
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string(),
        );
        self.0.push(Secret {
            what: what.to_owned(),
            forms,
        });
        text.to_owned()
    }

    /// `password` is a secret, and so is what `Basic` makes of it; it is given back.
    pub(crate) fn keep_login(&mut self, what: &str, user: &str, password: &str) -> String {
        let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
        self.keep(&format!("{what}, as Basic"), &pair);
        self.keep(what, password)
    }

    /// Which of them `text` tells.
    pub(crate) fn told(&self, text: &[u8]) -> Vec<&str> {
        let text = String::from_utf8_lossy(text);
        let told = |secret: &&Secret| secret.forms.iter().any(|form| text.contains(form));
        self.0
            .iter()
            .filter(told)
            .map(|secret| secret.what.as_str())
            .collect()
    }

    /// Fails where `text`, which is `place`, tells any of them.
    #[track_caller]
    pub(crate) fn check(&self, place: &str, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        let told = self.told(text);
        let lines = String::from_utf8_lossy(text);
        let line = lines
            .lines()
            .find(|line| !self.told(line.as_bytes()).is_empty());
        assert!(
            told.is_empty(),
            "{place} tells: {told:?}, first in: {line:?}"
        );
    }

    /// Checks all files below `folder`, and their names. Says how many there were.
    #[track_caller]
    pub(crate) fn check_folder(&self, folder: &Path) -> usize {
        let mut files = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            self.check("a path", path.to_str().unwrap());
            if path.is_dir() {
                files += self.check_folder(&path);
            } else {
                self.check(&path.display().to_string(), fs::read(&path).unwrap());
                files += 1;
            }
        }
        files
    }
}

#[test]
fn the_check_finds_all_forms() {
    let mut secrets = Secrets::default();
    secrets.keep_login("login", "me", "hunter+2");
    for told in [
        "x hunter+2",
        "aHVudGVyKzI=",
        "Basic bWU6aHVudGVyKzI=",
        "p=hunter%2B2",
    ] {
        assert!(!secrets.told(told.as_bytes()).is_empty(), "{told}");
    }
    assert!(secrets.told(b"hunter2").is_empty());
}
