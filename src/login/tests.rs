use std::path::Path;
use std::time::Duration;

use rustix::time::ClockId;
use rustix::time::clock_gettime;

use super::htpasswd::Users;
use super::register::Register;
use super::token::Tokens;
use super::*;

/// Of "wonderland", at the lowest cost.
const HASH: &str = "$2y$04$itm6IKy0ucLb49hZEoE5sOG0Pmx7EMGMa6dW8jBrhUh8sI3kGav1G";

fn register(htpasswd: &str, tokens: &str) -> io::Result<Register> {
    let folder = tempfile::tempdir().unwrap();
    let (users, named) = (folder.path().join("users"), folder.path().join("tokens"));
    std::fs::write(&users, htpasswd).unwrap();
    std::fs::write(&named, tokens).unwrap();
    Register::read(Some(&users), Some(&named))
}

#[test]
fn every_kind_of_bcrypt_is_read() {
    let users = [
        ("a", HASH),
        (
            "b",
            "$2a$04$PK6NNM8kVwpb7kcY0GuH9O0Ap3HVoCIcqHIz4NSEnPSup/y/tW7se",
        ),
        (
            "c",
            "$2b$04$i7JvfwpurM8uWv0VSX3s2O3nQONDPJ2tVqzGR7ylcjGyeQA8/Jnca",
        ),
    ];
    let lines = users.map(|(name, hash)| format!("{name}:{hash}"));
    let text = format!("# people\n\n{}\r\n", lines.join("\r\n"));
    let register = register(&text, "").unwrap();
    assert_eq!(register.count(), (3, 0));
    for (name, _) in users {
        let proven = register.password(name, b"wonderland", 0).unwrap();
        assert_eq!(proven.user, User::new(name));
        assert!(register.password(name, b"Wonderland", 0).is_none());
        assert!(register.password(name, b"", 0).is_none());
    }
    assert!(register.password("d", b"wonderland", 0).is_none());
}

#[test]
fn a_wrong_line_is_named_without_its_hash() {
    let broken = &HASH[..50];
    let expensive = HASH.replace("$04$", "$18$");
    for (text, line, problem) in [
        (format!("a:{HASH}\nb"), 2, "this is no user"),
        (format!(":{HASH}"), 1, "this is no user"),
        (
            "a:$apr1$hunter2$hunter2".into(),
            1,
            "only bcrypt hashes are accepted here",
        ),
        ("\n\na:{SHA}hunter2=".into(), 3, "only bcrypt hashes"),
        ("a:hunter2".into(), 1, "only bcrypt hashes"),
        (HASH.replace("$2y$", "a:$2x$"), 1, "only bcrypt hashes"),
        (format!("a:{broken}"), 1, "this bcrypt hash is broken"),
        (format!("a:{expensive}"), 1, "the cost of this bcrypt hash"),
        (
            format!("a:{HASH}\n#\na:{HASH}"),
            3,
            "the user a is here twice",
        ),
    ] {
        let error = Users::parse(Path::new("/etc/users"), &text).err().unwrap();
        let said = error.to_string();
        let expected = format!("/etc/users:{line}: {problem}");
        assert!(said.starts_with(&expected), "{said}");
        assert!(
            !said.contains("hunter2") && !said.contains(broken),
            "{said}"
        );
    }
}

#[test]
fn a_token_is_a_login_by_itself_and_as_a_password() {
    let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let tokens = format!("# machines\nci:secret-token\nci:another\n\nbot:sha256:{digest}\n");
    let register = register(&format!("alice:{HASH}"), &tokens).unwrap();
    assert_eq!(register.count(), (1, 3));
    for (token, owner) in [
        ("secret-token", Some("ci")),
        ("another", Some("ci")),
        ("hello", Some("bot")),
        (digest, None),
        ("", None),
        ("secret-toke", None),
    ] {
        let owner = owner.map(User::new);
        assert_eq!(register.bearer(token.as_bytes()), owner);
    }
    let named = |name: &str, token: &[u8]| register.password(name, token, 0).map(|p| p.user);
    assert_eq!(named("bot", b"hello"), Some(User::new("bot")));
    assert_eq!(named("ci", b"hello"), None);
    assert_eq!(named("alice", b"hello"), None);
}

#[test]
fn a_wrong_token_line_is_named_without_the_token() {
    for (text, line) in [
        ("hunter2", 1),
        ("ok:fine\n:hunter2", 2),
        ("ci:", 1),
        ("ci:hunter2 hunter2", 1),
        ("ci:sha256:hunter2", 1),
        ("a:hunter2\nb:hunter2", 2),
    ] {
        let error = Tokens::parse(Path::new("/etc/tokens"), text).err();
        let said = error.unwrap().to_string();
        assert!(said.starts_with(&format!("/etc/tokens:{line}: ")), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

/// Processor time that this thread takes for a wrong password.
fn time(register: &Register, name: &str) -> Duration {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let start = now();
    assert!(
        register
            .password(name, b"wrong", name.as_bytes()[0])
            .is_none()
    );
    now() - start
}

#[test]
fn an_unknown_user_costs_a_bcrypt_too() {
    // Cost 9: milliseconds, where a comparison takes none.
    let hash = bcrypt::hash_with_salt(b"x", 9, [7; 16]).unwrap();
    let register = register(&format!("alice:{hash}"), "machine:token").unwrap();
    let alice = time(&register, "alice");
    for name in ["bob", "machine", "zoe"] {
        let unknown = time(&register, name);
        assert!(unknown > alice / 3, "{name}: {unknown:?} of {alice:?}");
    }
    let nobody = self::register("", "").unwrap();
    assert!(time(&nobody, "alice") > alice / 3);
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("users"), format!("alice:{HASH}")).unwrap();
    std::fs::write(at("tokens"), "ci:hunter2").unwrap();
    let login = Login::load(Config {
        htpasswd: Some(at("users")),
        tokens: Some(at("tokens")),
        certificates: false,
    });
    let shown = format!("{:?}", login.unwrap());
    assert!(
        !shown.contains("hunter2") && !shown.contains("$2y"),
        "{shown}"
    );
}
