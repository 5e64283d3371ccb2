//! dockerd behind `HTTPS_PROXY`: a cache without any mirror's configuration, for an upstream other
//! than the default, which is all that dockerd's own mirrors are for.

use std::process::Command;

use fake_registry::Tidegate;
use tempfile::TempDir;

use crate::dockerd::Dockerd;
use crate::layout::Platforms;
use crate::need::need;
use crate::sandbox;
use crate::scene::TIDEGATE;
use crate::upstream::HOST;
use crate::upstream::PASSWORD;
use crate::upstream::USER;
use crate::upstream::Upstream;

/// Two upstreams: one that is not there is the default, the other one is the registry.
fn config(upstream: &Upstream) -> String {
    let login = format!("{{ username = \"{USER}\", password = \"{PASSWORD}\" }}");
    let table = upstream.table_with("127.0.0.1", &upstream.ca(), &login);
    let table = table.replace("\"docker.io\"", &format!("\"{HOST}\""));
    let table = table.replace("default = true\n", "");
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
         intercept = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n\n\
         [[upstream]]\nname = \"docker.io\"\ndefault = true\nurl = \"https://127.0.0.1:1\"\n{table}"
    )
}

/// Where it intercepts.
fn proxy(tidegate: &Tidegate) -> String {
    let log = tidegate.log();
    let (_, rest) = log.split_once("intercepting on ").unwrap();
    rest.lines().next().unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_gets_a_cache_by_https_proxy_alone() {
    if !need(&["dockerd", "docker", "skopeo", "docker-registry"]) {
        return;
    }
    let mut upstream = Upstream::start().await;
    let tidegate = Tidegate::start(TIDEGATE, &config(&upstream)).await;
    let ca = tidegate.folder().join("tidegate-ca/ca.crt");
    let folder = TempDir::with_prefix("intercept-").unwrap();
    let none = folder.path().join("daemon.json");
    std::fs::write(&none, "{}").unwrap();
    let name = format!("{HOST}/demo/app:v1");
    let pull = async || {
        // With nothing in it.
        let engine = Dockerd::start_behind(Some(&proxy(&tidegate)), &none, &ca).await;
        sandbox::run(engine.docker(["pull", "--quiet", &name])).await;
        let found = engine.inspect(&name).await;
        let id = found["Id"].as_str().unwrap().to_owned();
        let direct = &upstream.direct;
        assert!(
            id == direct.own().config || id == direct.digest,
            "{found:#}"
        );
    };
    pull().await;
    let cold = upstream.pulled(Platforms::Own).await.len();
    pull().await;
    let warm = upstream.requests();
    let heads = warm[cold..].iter().all(|asked| asked.method == "HEAD");
    assert!(heads, "the second pull asked for {warm:#?}");

    upstream.stop();
    let engine = Dockerd::start_behind(Some(&proxy(&tidegate)), &none, &ca).await;
    sandbox::run(engine.docker(["pull", "--quiet", &name])).await;
}

/// What is not for an upstream is not looked into: the certificate is the other's own.
#[tokio::test(flavor = "multi_thread")]
async fn all_else_is_tunnelled_untouched() {
    if !need(&["curl", "skopeo", "docker-registry"]) {
        return;
    }
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(TIDEGATE, &config(&upstream)).await;
    let own = tidegate.folder().join("tidegate-ca/ca.crt");
    let other = fake_registry::Upstream::builder().tls(upstream.pki());
    let other = other.start().await;
    other.put_file("/hello", fake_registry::Content::Memory("hello".into()));
    let url = format!("{}/hello", other.url());
    let curl = |ca: &std::path::Path, more: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--noproxy", "", "--proxy", &proxy(&tidegate)]);
        curl.arg("--cacert").arg(ca).args(more);
        curl
    };
    let said = sandbox::run(curl(&upstream.ca(), &[&url])).await;
    assert_eq!(said, "hello");
    assert_eq!(other.connections(), 1);
    let refused = sandbox::attempt(curl(&own, &[&url])).await.unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");

    // An upstream's is ours, over HTTP/2 too, and what writes is refused.
    let url = format!("https://{HOST}/v2/demo/app/manifests/v1");
    let accept = "Accept: application/vnd.oci.image.index.v1+json";
    let mut show = vec!["-H", accept, "-o", "/dev/null"];
    show.extend(["-w", "%{http_code} %{http_version}"]);
    let said = sandbox::run(curl(&own, &[&show[..], &[&url]].concat())).await;
    assert_eq!(said, "200 2");
    let said = sandbox::run(curl(&own, &[&show[..], &["-X", "PUT", &url]].concat())).await;
    assert_eq!(said, "405 2");

    // A web proxy for clear text it is not.
    let clear = [
        "-w",
        "%{http_code}",
        "-o",
        "/dev/null",
        "http://registry.test/",
    ];
    let said = sandbox::run(curl(&own, &clear)).await;
    assert_eq!(said, "405");
    let nowhere = ["https://127.0.0.1:2/"];
    let refused = sandbox::attempt(curl(&own, &nowhere)).await.unwrap_err();
    assert!(refused.contains("502"), "{refused}");
}
