//! Headers, ranges and conditions of what is stored.

use crate::client::Got;
use crate::client::ask;
use crate::client::get;
use crate::client::over_h2;
use crate::client::request;
use crate::house::House;

const BLOB: &[u8] = b"0123456789";

#[tokio::test]
async fn the_ping_says_that_this_is_a_registry() {
    let house = House::build().await;
    for path in ["/v2/", "/v2", "/v2/?ns=docker.io"] {
        let ping = get(house.address, path).await;
        assert_eq!((ping.status, ping.text()), (200, "{}"));
        assert_eq!(
            ping.headers,
            [
                "content-length: 2",
                "content-type: application/json",
                "docker-distribution-api-version: registry/2.0",
            ]
        );
    }
}

#[tokio::test]
async fn a_manifest_has_exactly_these_headers() {
    let house = House::build().await;
    let digest = house.put_manifest("docker.io/a/b", "x", r#"{"x":1}"#).await;
    let age = "age: 0";
    let expected = [
        "accept-ranges: bytes".to_owned(),
        age.to_owned(),
        "content-length: 7".to_owned(),
        "content-type: application/vnd.oci.image.manifest.v1+json".to_owned(),
        format!("docker-content-digest: {digest}"),
        "docker-distribution-api-version: registry/2.0".to_owned(),
        format!("etag: \"{digest}\""),
        "oci-namespace: docker.io".to_owned(),
        "x-cache: HIT".to_owned(),
    ];
    for reference in ["x", digest.as_str()] {
        let path = format!("/v2/a/b/manifests/{reference}");
        let whole = ask(house.address, "GET", &path, &[]).await;
        assert_eq!((whole.status, whole.text()), (200, r#"{"x":1}"#));
        assert_eq!(young(whole.headers), expected);
        let head = ask(house.address, "HEAD", &path, &[]).await;
        assert_eq!((head.status, head.text()), (200, ""));
        assert_eq!(young(head.headers), expected);
    }
}

#[tokio::test]
async fn a_blob_has_exactly_these_headers() {
    let house = House::build().await;
    let digest = house.put_blob("docker.io/a/b", BLOB).await;
    let path = format!("/v2/a/b/blobs/{digest}");
    let expected = [
        "accept-ranges: bytes".to_owned(),
        "age: 0".to_owned(),
        "content-length: 10".to_owned(),
        "content-type: application/octet-stream".to_owned(),
        format!("docker-content-digest: {digest}"),
        "docker-distribution-api-version: registry/2.0".to_owned(),
        format!("etag: \"{digest}\""),
        "oci-namespace: docker.io".to_owned(),
        "x-cache: HIT".to_owned(),
    ];
    let whole = get(house.address, &path).await;
    assert_eq!((whole.status, &whole.body[..]), (200, BLOB));
    assert_eq!(young(whole.headers), expected);
    let range = [("Range", "bytes=2-4")];
    let head = ask(house.address, "HEAD", &path, &range).await;
    assert_eq!((head.status, head.text()), (200, ""));
    assert_eq!(young(head.headers), expected);
}

#[tokio::test]
async fn ranges_of_blobs_and_manifests_are_served() {
    let house = House::build().await;
    let blob = house.put_blob("docker.io/a/b", BLOB).await;
    let manifest = house.put_manifest("docker.io/a/b", "x", "0123456789").await;
    let blob_tag = format!("\"{blob}\"");
    for (path, digest) in [
        (format!("/v2/a/b/blobs/{blob}"), &blob),
        (format!("/v2/a/b/manifests/{manifest}"), &manifest),
        ("/v2/a/b/manifests/x".to_owned(), &manifest),
    ] {
        for (range, content_range, text) in [
            ("bytes=0-", "bytes 0-9/10", "0123456789"),
            ("bytes=3-", "bytes 3-9/10", "3456789"),
            ("bytes=0-0", "bytes 0-0/10", "0"),
            ("bytes=4-100", "bytes 4-9/10", "456789"),
            ("bytes=-3", "bytes 7-9/10", "789"),
            ("bytes=-30", "bytes 0-9/10", "0123456789"),
        ] {
            let part = ranged(&house, &path, range).await;
            assert_eq!((part.status, part.text()), (206, text), "{path} {range}");
            assert_eq!(part.header("content-range"), content_range);
            assert_eq!(part.header("content-length"), text.len().to_string());
            assert_eq!(part.header("docker-content-digest"), digest.as_str());
        }
        for range in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            let none = ranged(&house, &path, range).await;
            assert_eq!((none.status, none.code()), (416, "RANGE_INVALID".into()));
            assert_eq!(none.header("content-range"), "bytes */10");
            assert_eq!(none.header("oci-namespace"), "docker.io");
        }
        for range in ["bytes=0-1,4-5", "bytes=5-2", "bytes=x", "lines=0-1"] {
            let whole = ranged(&house, &path, range).await;
            assert_eq!((whole.status, &whole.body[..]), (200, BLOB), "{range}");
        }
    }
    let path = format!("/v2/a/b/blobs/{blob}");
    for (tag, status) in [(&*blob_tag, 206), ("\"other\"", 200), ("W/\"x\"", 200)] {
        let headers = [("Range", "bytes=1-"), ("If-Range", tag)];
        let got = ask(house.address, "GET", &path, &headers).await;
        assert_eq!(got.status, status, "{tag}");
    }
}

async fn ranged(house: &House, path: &str, range: &str) -> Got {
    ask(house.address, "GET", path, &[("Range", range)]).await
}

#[tokio::test]
async fn what_the_client_holds_is_not_sent_again() {
    let house = House::build().await;
    let blob = house.put_blob("docker.io/a/b", BLOB).await;
    let manifest = house.put_manifest("docker.io/a/b", "x", "{}").await;
    for (path, digest) in [
        (format!("/v2/a/b/blobs/{blob}"), &blob),
        (format!("/v2/a/b/manifests/{manifest}"), &manifest),
        ("/v2/a/b/manifests/x".to_owned(), &manifest),
    ] {
        for held in [
            "*",
            &format!("\"{digest}\""),
            &format!("\"z\", W/\"{digest}\""),
        ] {
            for method in ["GET", "HEAD"] {
                let headers = [("If-None-Match", held), ("Range", "bytes=0-1")];
                let got = ask(house.address, method, &path, &headers).await;
                assert_eq!((got.status, got.text()), (304, ""), "{path} {held}");
                assert_eq!(got.header("etag"), format!("\"{digest}\""));
                assert_eq!(got.header("docker-content-digest"), digest.as_str());
                assert_eq!(got.header("content-length"), "");
            }
        }
        let headers = [("If-None-Match", "\"sha256:other\"")];
        let got = ask(house.address, "GET", &path, &headers).await;
        assert_eq!(got.status, 200, "{path}");
        assert_ne!(got.text(), "");
        let headers = [("If-None-Match", "\"z\""), ("Range", "bytes=0-0")];
        let got = ask(house.address, "GET", &path, &headers).await;
        assert_eq!((got.status, got.body.len()), (206, 1), "{path}");
    }
}

#[tokio::test]
async fn nothing_can_be_written() {
    let house = House::build().await;
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        for path in ["/v2/a/blobs/uploads/", "/v2/a/manifests/x", "/v2/"] {
            let got = ask(house.address, method, path, &[]).await;
            assert_eq!((got.status, got.code()), (405, "UNSUPPORTED".into()));
            assert_eq!(got.header("allow"), "GET, HEAD");
            assert_eq!(got.header("content-type"), "application/json");
            let version = got.header("docker-distribution-api-version");
            assert_eq!(version, "registry/2.0");
        }
    }
}

#[tokio::test]
async fn what_is_nowhere_is_404_and_what_is_malformed_400() {
    let house = House::build().await;
    for (path, status, code) in [
        ("/", 404, "UNSUPPORTED"),
        ("/v1/", 404, "UNSUPPORTED"),
        ("/v2/a/b", 404, "UNSUPPORTED"),
        ("/v2/A/manifests/x", 400, "NAME_INVALID"),
        ("/v2/a/blobs/sha256:1", 400, "DIGEST_INVALID"),
        ("/v2/a/manifests/.x", 404, "MANIFEST_UNKNOWN"),
        ("/v2/ghcr.io/a/manifests/x", 404, "NAME_UNKNOWN"),
        ("/v2/a/manifests/x?ns=ghcr.io", 404, "NAME_UNKNOWN"),
        ("/v2/denied/a/manifests/x", 403, "DENIED"),
    ] {
        let got = get(house.address, path).await;
        assert_eq!((got.status, &*got.code()), (status, code), "{path}");
        let head = ask(house.address, "HEAD", path, &[]).await;
        assert_eq!((head.status, head.text()), (status, ""), "{path}");
        assert_eq!(head.headers, got.headers, "{path}");
    }
}

#[tokio::test]
async fn http2_without_tls_is_spoken_to_who_knows() {
    let house = House::build().await;
    let digest = house.put_blob("docker.io/a/b", BLOB).await;
    let path = format!("/v2/a/b/blobs/{digest}");
    let over_h1 = get(house.address, &path).await;
    for (method, body) in [("GET", BLOB), ("HEAD", b"")] {
        let stream = tokio::net::TcpStream::connect(house.address).await.unwrap();
        let response = over_h2(stream, request(method, &path, &[])).await;
        assert_eq!(response.version(), http::Version::HTTP_2);
        let got = Got::read(response).await.unwrap();
        assert_eq!((got.status, &got.body[..]), (200, body));
        assert_eq!(young(got.headers), young(over_h1.headers.clone()));
    }
}

/// A slow machine may need a second between two lines of a test.
fn young(mut headers: Vec<String>) -> Vec<String> {
    for header in &mut headers {
        let age = header
            .strip_prefix("age: ")
            .and_then(|age| age.parse().ok());
        if age.is_some_and(|age: u64| age < 60) {
            *header = "age: 0".to_owned();
        }
    }
    headers
}
