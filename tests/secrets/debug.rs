//! What `{:?}` prints of the types that hold a secret, or hold what holds one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate::config::Source;
use tidegate::flow::Ask;
use tidegate::flow::Caller;
use tidegate::flow::OnDisconnect;
use tidegate::flow::PullThrough;
use tidegate::flow::Upstream;
use tidegate::flow::Want;
use tidegate::front::Front;
use tidegate::ledger::FlowId;
use tidegate::ledger::Ledger;
use tidegate::oci::Repository;
use tidegate::registry::Credentials;
use tidegate::registry::Registry;
use tidegate::registry::Secret;
use tidegate::store::Store;

use crate::known::Secrets;

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
[[upstream]]
name = "basic.test"
credentials = { username = "me", password = "hunter2-one" }
default = true
[[upstream]]
name = "token.test"
credentials = { token = "hunter2-two" }
"#;

fn secrets() -> Secrets {
    let mut secrets = Secrets::default();
    secrets.keep_login("a password", "me", "hunter2-one");
    secrets.keep("a token", "hunter2-two");
    secrets.keep("a client's token", "hunter2-three");
    secrets
}

#[tokio::test]
async fn no_debug_print_tells_a_secret() {
    let secrets = secrets();
    let check = |what: &str, print: String| {
        assert!(!print.is_empty());
        secrets.check(what, print);
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.toml");
    std::fs::write(&path, CONFIG).unwrap();
    let config = Source::File(path).load().unwrap();
    check("Config", format!("{config:?} {config:#?}"));
    check("its upstreams", format!("{:?}", config.upstreams));
    let store = Store::open(config.store.clone()).await.unwrap();
    let mut upstreams = Vec::new();
    for upstream in &config.upstreams {
        check("registry::Config", format!("{:?}", upstream.registry));
        let registry = Registry::new(upstream.registry.clone(), Ledger::new()).unwrap();
        check("Registry", format!("{registry:?}"));
        let client = Secret::new("Bearer hunter2-three");
        let acting = registry.acting_for(Some(&client));
        check("Registry acting for a client", format!("{acting:?}"));
        upstreams.push(Upstream {
            registry: Arc::new(registry),
            tag_ttl: Duration::ZERO,
            auth_ttl: Duration::ZERO,
            names: upstream.names.clone(),
        });
    }
    check("flow::Upstream", format!("{upstreams:?}"));
    let flow_config = tidegate::flow::Config {
        negative_ttl: Duration::ZERO,
        on_disconnect: OnDisconnect::Finish,
        has_access_rules: false,
    };
    let flow = Arc::new(PullThrough::new(flow_config, store, upstreams));
    check("PullThrough", format!("{flow:?}"));
    let front = Front::bind(config.front, flow, Ledger::new())
        .await
        .unwrap();
    check("Front", format!("{front:?}"));
    let caller = Caller {
        authorization: Some(Secret::new("Bearer hunter2-three")),
    };
    check("Caller", format!("{caller:?}"));
    let ask = Ask {
        repository: Repository::new("a.io".parse().unwrap(), "a".parse().unwrap()),
        want: Want::Tags {
            query: String::new(),
        },
        head: false,
        flow: FlowId::next(),
        caller,
    };
    check("Ask", format!("{ask:?}"));
}

#[test]
fn no_kind_of_credentials_prints_its_secret() {
    let username = "me".to_owned();
    let password = Secret::new("hunter2-one");
    for credentials in [
        Credentials::Basic { username, password },
        Credentials::Token(Secret::new("hunter2-two")),
        Credentials::File(PathBuf::from("login")),
    ] {
        secrets().check("Credentials", format!("{credentials:?}"));
    }
}
