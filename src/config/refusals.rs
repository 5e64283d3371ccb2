//! What is refused, and in which words.

use super::tests::refusal;

/// A file, and the line and the text of what is said about it.
const WRONG: &[(&str, usize, &str)] = &[
    (
        "[server]\nlisten = \"127.0.0.1\"",
        2,
        "server.listen: invalid socket address syntax; this must be an IP address with a port",
    ),
    (
        "[server]\nlisten = [\n\"127.0.0.1:1\",\n\"x\"]",
        4,
        "server.listen: invalid",
    ),
    (
        "[server]\nlisten = []",
        2,
        "server.listen: the list is empty",
    ),
    (
        "[server]\n\ndrain_timout = \"1s\"",
        3,
        "server.drain_timout: there is no such key; did you mean `drain_timeout`?",
    ),
    (
        "[server]\ndrain_timeout = 25",
        2,
        "server.drain_timeout: this is an integer, but it must be a duration such as \"30s\"",
    ),
    (
        "[server]\nidle_timeout = \"0s\"",
        2,
        "server.idle_timeout: it must be more than 0",
    ),
    (
        "[server]\nidle_timeout = \"500000000000y\"",
        2,
        "server.idle_timeout: it is longer than 10 years",
    ),
    (
        "[server]\nmax_connections = 0",
        2,
        "server.max_connections: this must be 1 or more",
    ),
    (
        "[server]\nmax_connections = -1",
        2,
        "server.max_connections: this must be 1 or more",
    ),
    (
        "[server]\ntls = { cert = \"a\" }",
        2,
        "server.tls: the key `key` is missing",
    ),
    (
        "[server]\nadmin = \"on\"",
        2,
        "server.admin: invalid socket address syntax; this must be",
    ),
    ("[server\n", 1, "unclosed table, expected `]`"),
    (
        "[server]\nmax_streams = 0",
        2,
        "server.max_streams: this must be 1 or more",
    ),
    (
        "[server]\nlogin = { tokens = \"x\" }\n[[upstream]]\nname = \"a.io\"\ncredentials = \"passthrough\"",
        2,
        "server.login: clients can't log in here by password or token and at a.io",
    ),
    (
        "[[upstream]]\nname = '''\ncredentials = { password = \"hunter2\" }\nurl = '''",
        2,
        "upstream.name: this text has several lines; is a quote missing?",
    ),
    (
        "[server]\nlogin = {}",
        2,
        "server.login: nobody could log in; write `htpasswd`",
    ),
    (
        "[server]\nlogin = \"users\"",
        2,
        "server.login: this is a string, but it must be",
    ),
    (
        "[server]\nlogin = { htpaswd = \"users\" }",
        2,
        "server.login.htpaswd: there is no such key; did you mean `htpasswd`?",
    ),
    (
        "[server]\nlogin = { certificates = true }",
        2,
        "server.login: `certificates` needs `tls.client_ca`",
    ),
    (
        "[server]\nadmin_login = {}",
        2,
        "server.admin_login: nobody could log in; write `htpasswd` or `tokens`",
    ),
    (
        "[[access]]\nwho = [\"*\"]\nallow = [\"*\"]",
        2,
        "access.who: users have no names without a login; set `server.login`",
    ),
    (
        "[sever]\n",
        1,
        "sever: there is no such key; did you mean `server`?",
    ),
    ("[store]\nmax_size = \"lots\"", 2, "store.max_size: "),
    (
        "[store]\nmax_size = \"0\"",
        2,
        "store.max_size: it must be more than 0",
    ),
    (
        "[store]\nenabled = \"no\"",
        2,
        "store.enabled: this is a string, but it must be a boolean",
    ),
    (
        "[store]\npath = \"${NOWHERE}\"",
        2,
        "store.path: the environment variable NOWHERE is not set",
    ),
    (
        "[defaults]\non_disconnect = \"stop\"",
        2,
        "defaults.on_disconnect: there is no such choice; this must be \"finish\" or \"abort\"",
    ),
];

/// The same, of what follows `[[upstream]]` in the first line.
const WRONG_UPSTREAM: &[(&str, usize, &str)] = &[
    (
        "name = \"A b\"",
        2,
        "upstream.name: 'A b' is not a registry's name",
    ),
    (
        "name = \"a.io\"\nurl = \"a.io\"",
        3,
        "upstream.url: relative URL without a base; this must be a URL such as",
    ),
    (
        "name = \"a.io\"\nurl = \"ftp://a.io\"",
        3,
        "upstream.url: it must begin with https://",
    ),
    (
        "name = \"a.io\"\nurl = \"https://u:hunter2@a.io\"",
        3,
        "upstream.url: a user or password",
    ),
    (
        "name = \"a.io\"\nurl = \"http://a.io\"",
        3,
        "upstream.url: plain http:// is refused",
    ),
    (
        "name = \"a.io\"\nfallback = [\"https://b.io\", \"http://a.io\"]",
        3,
        "upstream.fallback: plain http:// is refused",
    ),
    (
        "name = \"a.io\"\ncredentials = \"passthrough\"\nfallback = [\"https://b.io\"]",
        4,
        "upstream.fallback: what clients sign in with is for `url` alone",
    ),
    (
        "name = \"a.io\"\nallow = [\"{a\"]",
        3,
        "upstream.allow: unclosed alternate group",
    ),
    (
        "name = \"a.io\"\nulr = \"x\"",
        3,
        "upstream.ulr: there is no such key; did you mean `url`?",
    ),
    (
        "name = \"a.io\"\nmax_concurrent = 0",
        3,
        "upstream.max_concurrent: this must be 1 or more",
    ),
    (
        "name = \"a.io\"\nparallel_ranges = 0",
        3,
        "upstream.parallel_ranges: this must be 1 to 16",
    ),
    (
        "name = \"a.io\"\nparallel_ranges = 17",
        3,
        "upstream.parallel_ranges: this must be 1 to 16",
    ),
    (
        "name = \"a.io\"\nrate = \"0/s\"",
        3,
        "upstream.rate: it must be more than 0; this must be a number of requests in a time",
    ),
    (
        "name = \"a.io\"\nrate = \"100\"",
        3,
        "upstream.rate: there is no slash in it",
    ),
    (
        "name = \"a.io\"\nbandwidth = \"50MiB\"",
        3,
        "upstream.bandwidth: there is no /s at its end",
    ),
    (
        "name = \"a.io\"\nname = \"b.io\"",
        3,
        "the key name is here twice",
    ),
    (
        "url = \"https://a.io\"",
        1,
        "upstream: the key `name` is missing",
    ),
    (
        "name = \"a.io\"\n[[upstream]]\nname = \"a.io\"",
        4,
        "upstream.name: there are two upstreams with the name a.io",
    ),
    (
        "name = \"a:1\"\n[[upstream]]\nname = \"a_1\"",
        4,
        "upstream.name: a_1 and a:1 would be mixed up",
    ),
    (
        "name = \"a.io\"\ndefault = true\n[[upstream]]\nname = \"b.io\"\ndefault = true",
        6,
        "upstream.default: a.io is the default already",
    ),
];

/// The same, of what follows `[[access]]` in the third line, where there is a login.
const WRONG_ACCESS: &[(&str, usize, &str)] = &[
    ("who = [\"a\"]", 3, "access: the key `allow` is missing"),
    (
        "who = []\nallow = [\"*\"]",
        4,
        "access.who: the list is empty",
    ),
    (
        "who = [\"a\"]\nallow = []",
        5,
        "access.allow: the list is empty; for all, write allow",
    ),
    (
        "who = [\"{a\"]\nallow = [\"*\"]",
        4,
        "access.who: unclosed alternate group",
    ),
    (
        "who = [\"a\"]\nallow = [\"library/*\"]",
        5,
        "access.allow: no upstream is called library; a pattern begins with",
    ),
    (
        "who = [\"a\"]\nallow = [\"*\"]\ndeny = [\"docker.io\"]",
        6,
        "access.deny: for all of this upstream write \"docker.io/*\"",
    ),
];

/// The same, of what follows `[[target]]` in the first line.
const WRONG_TARGET: &[(&str, usize, &str)] = &[
    (
        "url = \"https://a.io\"",
        1,
        "target: the key `name` is missing",
    ),
    ("name = \"a\"", 1, "target: the key `url` is missing"),
    (
        "name = \"A b\"\nurl = \"https://a.io\"",
        2,
        "target.name: 'A b' is not a registry's name",
    ),
    (
        "name = \"store\"\nurl = \"https://a.io\"",
        2,
        "target.name: the embedded store is called store already; choose another name",
    ),
    (
        "name = \"quay.io\"\nurl = \"https://a.io\"",
        2,
        "target.name: an upstream is called quay.io already",
    ),
    (
        "name = \"a\"\nurl = \"https://a.io\"\n[[target]]\nname = \"a\"\nurl = \"https://b.io\"",
        5,
        "target.name: another target is called a already",
    ),
    (
        "name = \"a\"\nurl = \"http://a.io\"",
        3,
        "target.url: plain http:// is refused",
    ),
    (
        "name = \"a\"\nurl = \"https://quay.io/\"",
        3,
        "target.url: this is where the upstream quay.io is: it would be mirrored into itself",
    ),
    (
        "name = \"a\"\nurl = \"https://a.io\"\nrepository = \"mirror\"",
        4,
        "target.repository: `{repository}` must stand in it",
    ),
    (
        "name = \"a\"\nurl = \"https://a.io\"\nrepository = \"Mirror/{repository}\"",
        4,
        "target.repository: it makes no legal names",
    ),
    (
        "name = \"a\"\nurl = \"https://a.io\"\nrepository = \"{repo}\"",
        4,
        "target.repository: there is no `{repo}`; `{upstream}` and `{repository}` stand for",
    ),
    (
        "name = \"a\"\nurl = \"https://a.io\"\nrepository = \"{repository}\"",
        4,
        "target.repository: repositories of docker.io and of ghcr.io would be mixed up; write",
    ),
    (
        "name = \"a\"\nurl = \"https://a.io\"\nonly = [\"*.io/*\"]\nrepository = \"{repository}\"",
        5,
        "target.repository: repositories of docker.io and of ghcr.io would be mixed up",
    ),
    (
        "name = \"a\"\nurl = \"https://a.io\"\nonly = []",
        4,
        "target.only: the list is empty, so that nothing would be mirrored",
    ),
    (
        "name = \"a\"\nurl = \"https://a.io\"\nonly = [\"library/*\"]",
        4,
        "target.only: no upstream is called library; a pattern begins with an upstream's name",
    ),
    (
        "name = \"a\"\nurl = \"https://a.io\"\nonly = [\"p.io/*\"]\n[[upstream]]\nname = \"p.io\"\ncredentials = \"passthrough\"",
        4,
        "target.only: what clients see at p.io with credentials of their own is not mirrored",
    ),
    (
        "name = \"a\"\nurl = \"https://a.io\"\ncredentials = \"passthrough\"",
        4,
        "target.credentials: clients' own credentials can't be used for a target",
    ),
    (
        "name = \"a\"\nurl = \"https://a.io\"\ncredentials = { password = \"hunter2\" }",
        4,
        "target.credentials: these keys do not go together",
    ),
    (
        "name = \"a\"\nurl = \"https://a.io\"\ncomplete = \"some\"",
        4,
        "target.complete: there is no such choice; this must be \"all\" or \"requested\"",
    ),
    (
        "name = \"a\"\nurl = \"https://a.io\"\ncatalog_ttl = \"0s\"",
        4,
        "target.catalog_ttl: it must be more than 0",
    ),
    (
        "name = \"a\"\nurl = \"https://a.io\"\nred = true",
        4,
        "target.red: there is no such key; did you mean `read`?",
    ),
];

#[test]
fn an_error_names_file_line_and_key() {
    let upstreams = WRONG_UPSTREAM
        .iter()
        .map(|(text, line, said)| (format!("[[upstream]]\n{text}"), line, said));
    let accesses = WRONG_ACCESS.iter().map(|(text, line, said)| {
        let login = "[server]\nlogin = { htpasswd = \"users\" }";
        (format!("{login}\n[[access]]\n{text}"), line, said)
    });
    let others = WRONG
        .iter()
        .map(|(text, line, said)| ((*text).to_owned(), line, said));
    let targets = WRONG_TARGET
        .iter()
        .map(|(text, line, said)| (format!("[[target]]\n{text}"), line, said));
    let all = others.chain(upstreams).chain(accesses).chain(targets);
    for (text, line, said) in all {
        let whole = format!("/etc/tidegate/proxy.toml:{line}: {said}");
        let refused = refusal(&text);
        assert!(
            refused.starts_with(&whole),
            "{text}\n  got {refused}\n  not {whole}"
        );
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}
