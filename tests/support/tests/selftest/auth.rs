//! Basic and Bearer, as a client has to speak them.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fake_registry::Client;
use fake_registry::Fault;
use fake_registry::Reply;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::When;

fn basic(user: &str, password: &str) -> String {
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{user}:{password}"))
    )
}

async fn get(url: &str, authorization: &str) -> Reply {
    let mut request = Client::new().get(url);
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    request.send().await.expect("an answer")
}

#[tokio::test]
async fn basic_lets_in_who_knows_the_password() {
    let upstream = Upstream::builder()
        .basic("ann", "pw")
        .basic("bob", "pw2")
        .start()
        .await;
    let digest = upstream.put_blob("x", "abc");
    let url = format!("{}/v2/x/blobs/{digest}", upstream.url());
    let reply = get(&url, "").await;
    assert_eq!(reply.status, 401);
    assert!(
        reply
            .header("www-authenticate")
            .unwrap()
            .starts_with("Basic realm=")
    );
    assert_eq!(
        reply.json().await.unwrap()["errors"][0]["code"],
        "UNAUTHORIZED"
    );
    assert_eq!(get(&url, &basic("ann", "pw2")).await.status, 401);
    assert_eq!(get(&url, &basic("ann", "pw")).await.status, 200);
    assert_eq!(get(&url, &basic("bob", "pw2")).await.status, 200);
}

#[tokio::test]
async fn bearer_takes_a_token_for_the_scope_it_asked_for() {
    let tokens = TokenServer::builder()
        .user("ann", "pw", &["private/*"])
        .anonymous(&["library/*"])
        .start()
        .await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    let digest = upstream.put_blob("private/a", "abc");
    let url = format!("{}/v2/private/a/blobs/{digest}", upstream.url());
    let reply = get(&url, "").await;
    assert_eq!(reply.status, 401);
    let challenge = format!(
        "Bearer realm=\"{}\",service=\"registry.test\",scope=\"repository:private/a:pull\"",
        tokens.realm()
    );
    assert_eq!(reply.header("www-authenticate"), Some(challenge.as_str()));

    let asked = format!(
        "{}?service=registry.test&scope=repository:private/a:pull,push",
        tokens.realm()
    );
    assert_eq!(get(&asked, &basic("ann", "no")).await.status, 401);
    let granted = get(&asked, &basic("ann", "pw")).await.json().await.unwrap();
    assert_eq!(granted["scope"], "repository:private/a:pull");
    assert_eq!(granted["expires_in"], 300);
    let token = format!("Bearer {}", granted["token"].as_str().unwrap());
    assert_eq!(get(&url, &token).await.status, 200);

    let other = format!("{}/v2/private/b/blobs/{digest}", upstream.url());
    let reply = get(&other, &token).await;
    assert_eq!(reply.status, 401);
    assert!(
        reply
            .header("www-authenticate")
            .unwrap()
            .ends_with("error=\"insufficient_scope\"")
    );

    let anonymous = get(&asked, "").await.json().await.unwrap();
    let anonymous = format!("Bearer {}", anonymous["token"].as_str().unwrap());
    assert_eq!(get(&url, &anonymous).await.status, 401);
    assert_eq!(
        get(&format!("{}/v2/", upstream.url()), &anonymous)
            .await
            .status,
        200
    );
    assert_eq!(tokens.issued(), 2);
    assert_eq!(tokens.count(|it| it.path == "/token"), 3);
    assert_eq!(
        get(&format!("{}?service=another", tokens.realm()), "")
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn tokens_expire_and_are_revoked() {
    let tokens = TokenServer::builder().anonymous(&["*"]).start().await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    let url = format!("{}/v2/", upstream.url());
    let token = format!("Bearer {}", tokens.token_for(None, &["repository:x:pull"]));
    assert_eq!(get(&url, &token).await.status, 200);
    tokens.revoke_tokens();
    let reply = get(&url, &token).await;
    assert!(
        reply
            .header("www-authenticate")
            .unwrap()
            .ends_with("error=\"invalid_token\"")
    );
    tokens.set_expires_in(Duration::ZERO);
    let token = format!("Bearer {}", tokens.token_for(None, &[]));
    assert_eq!(get(&url, &token).await.status, 401);
}

#[tokio::test]
async fn oauth_takes_passwords_and_refresh_tokens() {
    let tokens = TokenServer::builder()
        .user("ann", "pw", &["x:pull,push"])
        .start()
        .await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    let post = async |body: &str| {
        let common = "service=registry.test&client_id=test&scope=repository:x:pull";
        let request = Client::new().request(http::Method::POST, tokens.realm());
        request
            .body(format!("{common}&{body}"))
            .send()
            .await
            .unwrap()
    };
    assert_eq!(
        post("grant_type=password&username=ann&password=no")
            .await
            .status,
        401
    );
    let granted = post("grant_type=password&username=ann&password=pw&access_type=offline").await;
    let granted = granted.json().await.unwrap();
    let refresh = granted["refresh_token"].as_str().unwrap();
    let again = post(&format!("grant_type=refresh_token&refresh_token={refresh}")).await;
    let again = again.json().await.unwrap();
    let digest = upstream.put_blob("x", "abc");
    let url = format!("{}/v2/x/blobs/{digest}", upstream.url());
    for granted in [&granted, &again] {
        assert_eq!(granted["token"], granted["access_token"]);
        let token = granted["access_token"].as_str().unwrap();
        assert_eq!(get(&url, &format!("Bearer {token}")).await.status, 200);
    }
    tokens.revoke_all();
    let reply = post(&format!("grant_type=refresh_token&refresh_token={refresh}")).await;
    assert_eq!(reply.status, 401);
    assert_eq!(post("grant_type=code").await.status, 400);
}

#[tokio::test]
async fn a_token_server_has_shapes_and_faults() {
    let tokens = TokenServer::builder()
        .only_access_token_field()
        .without_expiry()
        .start()
        .await;
    let url = format!("{}?service=registry.test", tokens.realm());
    tokens.fault(When::get("/token").times(1), Fault::status(503));
    assert_eq!(get(&url, "").await.status, 503);
    let granted = get(&url, "").await.json().await.unwrap();
    assert!(granted["access_token"].is_string());
    assert!(granted["token"].is_null() && granted["expires_in"].is_null());
}
