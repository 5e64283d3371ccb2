//! What a scripted registry answers when nothing goes wrong.

use fake_registry::Client;
use fake_registry::Ended;
use fake_registry::Pki;
use fake_registry::Upstream;
use fake_registry::digest_of;
use http::StatusCode;
use http::Version;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[tokio::test]
async fn manifests_come_by_tag_and_digest() {
    let upstream = Upstream::start().await;
    let digest = upstream.put_manifest("a/b", "v1", OCI, "{\"one\":1}");
    let client = Client::new();
    for reference in ["v1", digest.as_str()] {
        let url = format!("{}/v2/a/b/manifests/{reference}", upstream.url());
        let head = client.head(&url).send().await.unwrap();
        let get = client.get(&url).send().await.unwrap();
        for reply in [&head, &get] {
            assert_eq!(reply.status, StatusCode::OK);
            assert_eq!(reply.header("docker-content-digest"), Some(digest.as_str()));
            assert_eq!(reply.header("content-type"), Some(OCI));
            assert_eq!(reply.content_length(), Some(9));
        }
        assert_eq!(head.bytes().await.unwrap(), "");
        assert_eq!(get.bytes().await.unwrap(), "{\"one\":1}");
        let known = client
            .get(&url)
            .header("if-none-match", format!("\"{digest}\""));
        assert_eq!(known.send().await.unwrap().status, StatusCode::NOT_MODIFIED);
    }
    upstream
        .wait_for(|log| log.iter().all(|it| it.ended == Ended::Complete))
        .await;
    assert_eq!(upstream.gets_of(&digest).len(), 2);
    assert_eq!(upstream.gets_of(&digest)[0].body_bytes_sent, 9);
    assert_eq!(
        upstream.count(|it| it.method == "HEAD" && it.body_bytes_sent == 0),
        2
    );
    assert_eq!(upstream.log()[0].host, upstream.host());
}

#[tokio::test]
async fn tags_move_and_go() {
    let upstream = Upstream::start().await;
    let one = upstream.put_manifest("a", "v1", OCI, "1");
    let two = upstream.put_manifest("a", "v1", OCI, "2");
    let url = format!("{}/v2/a/manifests/v1", upstream.url());
    let client = Client::new();
    assert_eq!(
        client
            .get(&url)
            .send()
            .await
            .unwrap()
            .digest()
            .await
            .unwrap(),
        two
    );
    upstream.move_tag("a", "v1", &one);
    assert_eq!(
        client
            .get(&url)
            .send()
            .await
            .unwrap()
            .digest()
            .await
            .unwrap(),
        one
    );
    upstream.delete_tag("a", "v1");
    let reply = client.get(&url).send().await.unwrap();
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(
        reply.json().await.unwrap()["errors"][0]["code"],
        "MANIFEST_UNKNOWN"
    );
}

#[tokio::test]
async fn blobs_belong_to_a_repository() {
    let upstream = Upstream::start().await;
    let digest = upstream.put_blob("a", "hello world");
    upstream.put_blob("b", "other");
    let client = Client::new();
    let blob = |name: &str| client.get(format!("{}/v2/{name}/blobs/{digest}", upstream.url()));

    let reply = blob("a").send().await.unwrap();
    assert_eq!(reply.header("accept-ranges"), Some("bytes"));
    assert_eq!(reply.digest().await.unwrap(), digest);

    let reply = blob("b").send().await.unwrap();
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(
        reply.json().await.unwrap()["errors"][0]["code"],
        "BLOB_UNKNOWN"
    );
    let reply = blob("c").send().await.unwrap();
    assert_eq!(
        reply.json().await.unwrap()["errors"][0]["code"],
        "NAME_UNKNOWN"
    );

    upstream.remove_blob("a", &digest);
    assert_eq!(
        blob("a").send().await.unwrap().status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn ranges_are_single() {
    let upstream = Upstream::start().await;
    let digest = upstream.put_blob("a", "0123456789");
    let client = Client::new();
    let get = |range: &'static str| {
        client
            .get(format!("{}/v2/a/blobs/{digest}", upstream.url()))
            .range(range)
    };
    let reply = get("2-4").send().await.unwrap();
    assert_eq!(reply.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(reply.header("content-range"), Some("bytes 2-4/10"));
    assert_eq!(reply.content_length(), Some(3));
    assert_eq!(reply.bytes().await.unwrap(), "234");
    assert_eq!(
        get("7-").send().await.unwrap().bytes().await.unwrap(),
        "789"
    );
    assert_eq!(get("-2").send().await.unwrap().bytes().await.unwrap(), "89");
    assert_eq!(get("0-1,3-4").send().await.unwrap().status, StatusCode::OK);
    let reply = get("10-").send().await.unwrap();
    assert_eq!(reply.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(reply.header("content-range"), Some("bytes */10"));
    assert_eq!(upstream.log()[0].header("range"), Some("bytes=2-4"));
}

#[tokio::test]
async fn generated_blobs_have_the_digest_they_say() {
    let upstream = Upstream::start().await;
    let size = 5_000_001;
    let digest = upstream.put_generated_blob("big", size, 3);
    let url = format!("{}/v2/big/blobs/{digest}", upstream.url());
    for client in [Client::new(), Client::h2c()] {
        let reply = client.get(&url).send().await.unwrap();
        assert_eq!(reply.content_length(), Some(size));
        assert_eq!(
            reply.digest_and_length().await.unwrap(),
            (digest.clone(), size)
        );
    }
    let versions: Vec<Version> = upstream.log().iter().map(|it| it.version).collect();
    assert_eq!(versions, [Version::HTTP_11, Version::HTTP_2]);

    let client = Client::new();
    let front = client
        .get(&url)
        .range("0-2499999")
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let back = client
        .get(&url)
        .range("2500000-")
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(digest_of(&[front, back].concat()), digest);
}

#[tokio::test]
async fn tls_speaks_what_alpn_agrees_on() {
    let pki = Pki::new();
    let upstream = Upstream::builder().tls(&pki).start().await;
    let old = Upstream::builder()
        .tls_with(&pki, &["http/1.1"])
        .start()
        .await;
    assert!(upstream.url().starts_with("https://127.0.0.1:"));
    let client = Client::tls(&pki);
    let version = async |server: &Upstream| {
        client
            .get(format!("{}/v2/", server.url()))
            .send()
            .await
            .unwrap()
            .version
    };
    assert_eq!(version(&upstream).await, Version::HTTP_2);
    assert_eq!(version(&old).await, Version::HTTP_11);
    let stranger = Client::tls(&Pki::new());
    assert!(stranger.get(upstream.url()).send().await.is_err());
}

#[tokio::test]
async fn tags_and_the_catalog_come_in_pages() {
    let upstream = Upstream::start().await;
    for tag in ["a", "b", "c"] {
        upstream.put_manifest("x/y", tag, OCI, "{}");
    }
    let client = Client::new();
    let url = format!("{}/v2/x/y/tags/list", upstream.url());
    let reply = client.get(format!("{url}?n=2")).send().await.unwrap();
    let link = reply.header("link").unwrap().to_owned();
    assert_eq!(link, "</v2/x/y/tags/list?last=b&n=2>; rel=\"next\"");
    assert_eq!(
        reply.json().await.unwrap()["tags"],
        serde_json::json!(["a", "b"])
    );
    let reply = client
        .get(format!("{url}?n=2&last=b"))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.header("link"), None);
    assert_eq!(
        reply.json().await.unwrap()["tags"],
        serde_json::json!(["c"])
    );
    let reply = client
        .get(format!("{}/v2/_catalog", upstream.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(
        reply.json().await.unwrap()["repositories"],
        serde_json::json!(["x/y"])
    );
}

#[tokio::test]
async fn referrers_are_filtered() {
    let upstream = Upstream::start().await;
    let subject = upstream.put_manifest("x", "v1", OCI, "{}");
    for kind in ["application/sbom", "application/sig"] {
        let subject = serde_json::json!({"digest": subject});
        let manifest = serde_json::json!({"artifactType": kind, "subject": subject});
        let bytes = manifest.to_string();
        upstream.put_manifest("x", &digest_of(bytes.as_bytes()), OCI, bytes);
    }
    let client = Client::new();
    let url = format!("{}/v2/x/referrers/{subject}", upstream.url());
    let reply = client.get(&url).send().await.unwrap();
    assert_eq!(reply.header("content-type"), Some(INDEX));
    assert_eq!(
        reply.json().await.unwrap()["manifests"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let reply = client
        .get(format!("{url}?artifactType=application%2Fsig"))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.header("oci-filters-applied"), Some("artifactType"));
    let index = reply.json().await.unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(index["manifests"][0]["artifactType"], "application/sig");
}

#[tokio::test]
async fn accept_is_honoured_where_asked_for() {
    let upstream = Upstream::builder().honour_accept().start().await;
    let child = upstream.put_manifest("x", "child", OCI, "{}");
    let platform = serde_json::json!({"os": "linux", "architecture": "amd64"});
    let entry = serde_json::json!({"digest": child, "platform": platform});
    let index = serde_json::json!({"manifests": [entry]}).to_string();
    let index = upstream.put_manifest("x", "v1", INDEX, index);
    let client = Client::new();
    let get = async |accept: &str| {
        let request = client.get(format!("{}/v2/x/manifests/v1", upstream.url()));
        let reply = request.header("accept", accept).send().await.unwrap();
        reply.header("docker-content-digest").map(str::to_owned)
    };
    assert_eq!(get(&format!("{OCI}, {INDEX};q=0.5")).await, Some(index));
    assert_eq!(get(OCI).await, Some(child));
    assert_eq!(get("text/plain").await, None);
}

#[tokio::test]
async fn a_client_that_leaves_is_recorded() {
    let upstream = Upstream::start().await;
    let digest = upstream.put_generated_blob("x", 64 << 20, 1);
    let url = format!("{}/v2/x/blobs/{digest}", upstream.url());
    for client in [Client::new(), Client::h2c()] {
        upstream.clear_log();
        let mut reply = client.get(&url).send().await.unwrap();
        assert_eq!(reply.read_exactly(1000).await.unwrap().len(), 1000);
        drop(reply);
        upstream
            .wait_for(|log| log[0].ended == Ended::Aborted)
            .await;
        assert!(upstream.log()[0].body_bytes_sent < 64 << 20);
    }
}

#[tokio::test]
async fn a_server_stops_and_comes_back_on_its_port() {
    let upstream = Upstream::start().await;
    let client = Client::builder().fresh_connections().build();
    let ping = async || client.get(format!("{}/v2/", upstream.url())).send().await;
    assert!(ping().await.is_ok());
    upstream.stop().await;
    let refused = ping().await.unwrap_err().to_string();
    assert!(refused.contains("refused"), "{refused}");
    upstream.restart().await;
    assert!(ping().await.is_ok());
    assert_eq!(upstream.connections(), 2);

    upstream.hole().await;
    let limit = std::time::Duration::from_millis(100);
    assert!(
        tokio::time::timeout(limit, ping()).await.is_err(),
        "a hole doesn't answer"
    );
    assert_eq!(upstream.connections(), 3);
    upstream.restart().await;
    assert!(ping().await.is_ok());
}
