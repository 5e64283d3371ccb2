//! Lists, in pages that lead back to us.

use fake_registry::Upstream;
use serde_json::Value;
use serde_json::json;
use tidegate::oci::media;

use crate::client::Got;
use crate::client::ask;
use crate::client::get;
use crate::house::House;
use crate::house::Plan;
use crate::house::upstream;

/// Follows the links from `path`: the entries of `key` on each page.
async fn walk(house: &House, path: &str, key: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let page = get(house.address, &path).await;
        assert_eq!(page.status, 200, "{page:?}");
        let json: Value = serde_json::from_slice(&page.body).unwrap();
        let entries = json[key].as_array().unwrap();
        let entries = entries
            .iter()
            .map(|entry| entry.as_str().unwrap().to_owned());
        pages.push(entries.collect());
        next = link(&page);
    }
    pages
}

/// The address of the next page.
fn link(page: &Got) -> Option<String> {
    let link = page.header("link");
    if link.is_empty() {
        return None;
    }
    let address = link.strip_prefix('<').unwrap();
    Some(address.strip_suffix(">; rel=\"next\"").unwrap().to_owned())
}

#[tokio::test]
async fn the_catalog_is_walked_by_its_links() {
    let house = House::build().await;
    for name in ["docker.io/a/b", "docker.io/c", "quay.io/a"] {
        house.put_manifest(name, "x", name).await;
    }
    let pages = walk(&house, "/v2/_catalog?n=2", "repositories").await;
    assert_eq!(pages.len(), 2);
    assert_eq!(
        pages.concat(),
        ["docker.io/a/b", "docker.io/c", "quay.io/a"]
    );
    let whole = walk(&house, "/v2/_catalog", "repositories").await;
    assert_eq!(whole, [pages.concat()]);
    let bad = get(house.address, "/v2/_catalog?n=x").await;
    assert_eq!(
        (bad.status, &*bad.code()),
        (400, "PAGINATION_NUMBER_INVALID")
    );
}

#[tokio::test]
async fn tags_are_walked_by_links_that_lead_back_to_us() {
    let registry = Upstream::start().await;
    for tag in ["1", "2", "3"] {
        registry.put_manifest("a/b", tag, media::OCI_MANIFEST, "{}");
    }
    let mut plan = Plan::with_upstream(&registry.url());
    plan.upstreams.push(upstream("quay.io", &registry.url()));
    let house = plan.build().await;
    for (path, name) in [
        ("/v2/a/b/tags/list?n=2", "docker.io"),
        ("/v2/quay.io/a/b/tags/list?n=2", "quay.io"),
        ("/v2/a/b/tags/list?ns=quay.io&n=2", "quay.io"),
    ] {
        let first = get(house.address, path).await;
        assert_eq!(first.header("oci-namespace"), name);
        let next = link(&first).unwrap();
        let (base, _) = path.split_once('?').unwrap();
        assert!(next.starts_with(&format!("{base}?")), "{next}");
        assert_eq!(next.contains("ns=quay.io"), path.contains("ns="), "{next}");
        let second = get(house.address, &next).await;
        assert_eq!(second.header("oci-namespace"), name);
        let pages = walk(&house, path, "tags").await;
        assert_eq!(pages, [vec!["1", "2"], vec!["3"]], "{path}");
    }
    assert_eq!(registry.count(|asked| asked.path.contains("ns=")), 0);
}

#[tokio::test]
async fn referrers_are_an_oci_index() {
    let registry = Upstream::start().await;
    let subject = registry.put_manifest("a/b", "x", media::OCI_MANIFEST, "{}");
    let signature = json!({
        "schemaVersion": 2,
        "mediaType": media::OCI_MANIFEST,
        "artifactType": "application/x.signature",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": subject, "size": 2},
        "layers": [],
        "subject": {"mediaType": media::OCI_MANIFEST, "digest": subject, "size": 2},
    });
    let text = signature.to_string();
    let signature = registry.put_manifest("a/b", "sig", media::OCI_MANIFEST, text);
    let house = Plan::with_upstream(&registry.url()).build().await;
    let path = format!("/v2/a/b/referrers/{subject}");
    let all = get(house.address, &path).await;
    assert_eq!(all.header("content-type"), media::OCI_INDEX);
    assert_eq!(all.header("oci-filters-applied"), "");
    let json: Value = serde_json::from_slice(&all.body).unwrap();
    assert_eq!(json["manifests"][0]["digest"], signature);
    let other = format!("{path}?artifactType=application/x.sbom");
    let filtered = get(house.address, &other).await;
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    let json: Value = serde_json::from_slice(&filtered.body).unwrap();
    assert_eq!(json["manifests"], json!([]));
    let head = ask(house.address, "HEAD", &path, &[]).await;
    assert_eq!((head.status, head.text()), (200, ""));
    assert_eq!(head.header("content-length"), all.body.len().to_string());
}
