//! `ls` and `du`.

use tidegate::store::inspect;
use tidegate::store::inspect::Share;

use super::*;

#[tokio::test]
async fn lists_tags_with_what_is_stored_of_them() {
    let fixture = Fixture::new(None).await;
    let own = repository("localhost:5000/library/nginx");
    let digest = fixture.image(&own, "1", &[b"layer", b"layer two"]).await;
    let size = fixture
        .store
        .manifest(&own, &digest)
        .await
        .unwrap()
        .unwrap()
        .bytes
        .len() as u64;
    let entries = [
        descriptor(media::OCI_MANIFEST, &digest, 1),
        descriptor(media::OCI_MANIFEST, &Digest::of(b"other platform"), 1),
    ];
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        entries.join(",")
    );
    let index_size = index.len() as u64;
    fixture
        .manifest(&own, "multi", media::OCI_INDEX, index)
        .await;
    let gone = Digest::of(b"gone");
    fixture
        .store
        .put_tag(&own, &"old".parse().unwrap(), &gone)
        .await
        .unwrap();

    let listed = inspect::ls(&fixture.config).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].repository, "localhost_5000/library/nginx");
    assert_eq!(listed[0].manifests, 2);
    let image = size + 2 + 5 + 9;
    let rows: Vec<_> = listed[0]
        .tags
        .iter()
        .map(|tag| {
            (
                tag.tag.as_str(),
                tag.media_type.as_deref(),
                tag.size,
                tag.missing,
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("1", Some(media::OCI_MANIFEST), image, 0),
            ("multi", Some(media::OCI_INDEX), index_size + image, 1),
            ("old", None, 0, 1),
        ]
    );
}

#[tokio::test]
async fn a_listing_is_json_with_times_as_people_write_them() {
    let fixture = Fixture::new(None).await;
    let own = repository("docker.io/library/nginx");
    let digest = fixture.image(&own, "1", &[]).await;
    let listed = inspect::ls(&fixture.config).unwrap();
    let json = serde_json::to_value(&listed).unwrap();
    let tag = &json[0]["tags"][0];
    assert_eq!(tag["digest"], digest.as_str());
    let confirmed: jiff::Timestamp = tag["confirmed"].as_str().unwrap().parse().unwrap();
    let expected = jiff::Timestamp::try_from(listed[0].tags[0].confirmed).unwrap();
    assert_eq!(confirmed, expected);
}

#[tokio::test]
async fn counts_what_is_whose() {
    let fixture = Fixture::new(None).await;
    let [a, b, c] = ["docker.io/a", "docker.io/b", "quay.io/c"].map(repository);
    fixture.put(&a, &[1; 10]).await;
    let twice = fixture.put(&a, &[2; 100]).await;
    let thrice = fixture.put(&a, &[3; 1000]).await;
    fixture
        .store
        .link_blobs(&b, &[twice, thrice.clone()])
        .await
        .unwrap();
    fixture
        .store
        .link_blobs(&c, &[thrice, Digest::of(b"absent")])
        .await
        .unwrap();
    fixture
        .write(&[4; 7])
        .await
        .commit(&Digest::of(&[4; 7]), &[])
        .await
        .unwrap();

    let share = |blobs, bytes| Share { blobs, bytes };
    let usage = inspect::du(&fixture.config).unwrap();
    assert_eq!(
        (usage.blobs, usage.bytes, usage.unlinked),
        (4, 1117, share(1, 7))
    );
    let upstreams: Vec<_> = usage
        .upstreams
        .iter()
        .map(|usage| (usage.upstream.as_str(), usage.unique, usage.shared))
        .collect();
    assert_eq!(
        upstreams,
        [
            ("docker.io", share(2, 110), share(1, 1000)),
            ("quay.io", share(0, 0), share(1, 1000)),
        ]
    );
    let repositories: Vec<_> = usage
        .upstreams
        .iter()
        .flat_map(|usage| &usage.repositories)
        .map(|usage| (usage.repository.as_str(), usage.unique, usage.shared))
        .collect();
    assert_eq!(
        repositories,
        [
            ("docker.io/a", share(1, 10), share(2, 1100)),
            ("docker.io/b", share(0, 0), share(2, 1100)),
            ("quay.io/c", share(0, 0), share(1, 1000)),
        ]
    );
}

#[test]
fn says_where_there_is_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        path: folder.path().join("typo"),
        max_size: None,
    };
    let error = inspect::ls(&config).unwrap_err();
    assert!(matches!(error, Error::NoStore { .. }));
    assert!(error.to_string().contains("typo"), "{error}");
    assert!(!config.path.exists());
}
