//! A command's words, for a journal that others may read.

use std::ffi::OsString;

const HIDDEN: &str = "***";
/// What an option's name holds whose value is a secret.
const SECRETS: [&str; 6] = ["pass", "token", "secret", "creds", "credential", "apikey"];
/// Options whose value is a name, or a name and a password.
const LOGINS: [&str; 4] = ["-u", "--user", "-U", "--proxy-user"];
/// Headers that are secrets.
const HEADERS: [&str; 4] = ["authorization", "cookie", "x-api-key", "private-token"];

/// The words, without what looks like a secret.
pub(super) fn without_secrets(words: &[OsString]) -> Vec<String> {
    let mut said = Vec::with_capacity(words.len());
    let mut before: Option<String> = None;
    for word in words {
        let word = word.to_string_lossy().into_owned();
        let shown = match before.as_deref() {
            Some(option) if tells_secret(option) => HIDDEN.to_owned(),
            Some(option) if LOGINS.contains(&option) => name_only(&word),
            _ => shown(&word),
        };
        said.push(shown);
        before = Some(word);
    }
    said
}

/// Whether the word after `option` is a secret. A switch such as `--password-stdin` has none.
fn tells_secret(option: &str) -> bool {
    let Some(name) = option.strip_prefix('-') else {
        return false;
    };
    let name = name.trim_start_matches('-').to_ascii_lowercase();
    !name.contains('=') && !name.ends_with("-stdin") && is_secret(&name)
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['-', '_'], "");
    let is_file = name.ends_with("file") || name.ends_with("path");
    !is_file && SECRETS.iter().any(|secret| name.contains(secret))
}

fn shown(word: &str) -> String {
    if let Some((name, value)) = word.split_once('=') {
        let option = name.trim_start_matches('-');
        if is_secret(option) {
            return format!("{name}={HIDDEN}");
        }
        if LOGINS.contains(&name) {
            return format!("{name}={}", name_only(value));
        }
    }
    if let Some((name, _)) = word.split_once(':') {
        let header = name.trim().rsplit('=').next().unwrap_or(name);
        if HEADERS.contains(&header.to_ascii_lowercase().as_str()) {
            return format!("{name}: {HIDDEN}");
        }
    }
    without_user(word)
}

fn name_only(login: &str) -> String {
    match login.split_once(':') {
        Some((name, _)) => format!("{name}:{HIDDEN}"),
        None => login.to_owned(),
    }
}

/// A URL's user and password are left out.
fn without_user(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else {
        return word.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{HIDDEN}{}", &rest[at..]),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out() {
        for (words, said) in [
            (
                "skopeo copy docker://a/b dir:c",
                "skopeo copy docker://a/b dir:c",
            ),
            ("x --password hunter2 y", "x --password *** y"),
            ("x --src-creds=me:hunter2", "x --src-creds=***"),
            (
                "x --dest-registry-token hunter2",
                "x --dest-registry-token ***",
            ),
            ("x --password-stdin y", "x --password-stdin y"),
            ("x --authfile /a/token", "x --authfile /a/token"),
            ("x --token-file /a/b", "x --token-file /a/b"),
            ("curl -u me:hunter2 z", "curl -u me:*** z"),
            (
                "curl -H Authorization:hunter2",
                "curl -H Authorization: ***",
            ),
            (
                "git clone https://me:hunter2@h/p@q",
                "git clone https://***@h/p@q",
            ),
            ("env API_TOKEN=hunter2 x", "env API_TOKEN=*** x"),
        ] {
            let words: Vec<OsString> = words.split(' ').map(Into::into).collect();
            assert_eq!(without_secrets(&words).join(" "), said);
        }
    }
}
