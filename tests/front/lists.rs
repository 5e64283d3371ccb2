//! What is mirrored, in pages.

use crate::client::get;
use crate::house::House;

#[tokio::test]
async fn the_catalog_is_walked_by_its_links() {
    let house = House::build().await;
    for name in ["docker.io/a/b", "docker.io/c", "quay.io/a"] {
        house.put_manifest(name, "x", name).await;
    }
    let mut path = "/v2/_catalog?n=2".to_owned();
    let mut found = Vec::new();
    loop {
        let page = get(house.address, &path).await;
        assert_eq!(page.status, 200);
        let json: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
        let names = json["repositories"].as_array().unwrap();
        found.extend(names.iter().map(|name| name.as_str().unwrap().to_owned()));
        let link = page.header("link");
        let Some(next) = link.strip_prefix('<') else {
            assert_eq!(link, "");
            break;
        };
        path = next.strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
    assert_eq!(found, ["docker.io/a/b", "docker.io/c", "quay.io/a"]);
}
