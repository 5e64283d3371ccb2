//! `verify` finds what is wrong, and a repaired store is right again.

use std::fs;
use std::fs::File;
use std::time::Duration;
use std::time::SystemTime;

use tidegate::store::Progress;
use tidegate::store::verify;
use tidegate::store::verify::Kind;
use tidegate::store::verify::Report;

use super::*;

fn check(config: &Config, repair: bool) -> Report {
    verify::verify(config, repair, &mut |_| {}).unwrap()
}

fn kinds(report: &Report) -> Vec<(Kind, String)> {
    let kind = |problem: &verify::Problem| (problem.kind, problem.subject.clone());
    report.problems.iter().map(kind).collect()
}

#[tokio::test]
async fn a_right_store_is_sound() {
    let fixture = Fixture::new(None).await;
    let own = repository("docker.io/library/nginx");
    fixture.image(&own, "1", &[&[1; 3_000_000], b"layer"]).await;
    let mut steps = Vec::new();
    let report = verify::verify(&fixture.config, true, &mut |step| steps.push(step)).unwrap();
    assert!(report.is_sound() && report.problems.is_empty() && report.missing.is_empty());
    assert_eq!((report.blobs, report.links), (4, 5));
    let bytes = fixture.store.usage().bytes;
    assert_eq!(report.bytes, bytes);
    let end = Progress {
        done: bytes,
        total: bytes,
    };
    assert_eq!(steps.last(), Some(&end));
    assert!(steps.len() > 4 && steps.is_sorted_by_key(|step| step.done));
}

#[tokio::test]
async fn flipped_truncated_and_empty_blobs_are_found_and_fetched_again() {
    let fixture = Fixture::new(None).await;
    let own = repository("docker.io/library/nginx");
    let (flipped, truncated, emptied) = ([1; 1000], [2; 1000], [3; 1000]);
    let layers: [&[u8]; 4] = [&flipped, &truncated, &emptied, b"right"];
    fixture.image(&own, "1", &layers).await;
    let path = |body: &[u8]| fixture.blob_path(&Digest::of(body));
    let file = File::options().write(true).open(path(&flipped)).unwrap();
    file.write_all_at(b"!", 500).unwrap();
    File::options()
        .write(true)
        .open(path(&truncated))
        .unwrap()
        .set_len(999)
        .unwrap();
    fs::write(path(&emptied), "").unwrap();

    let mut wrong = vec![
        (Kind::Corrupt, Digest::of(&flipped).to_string()),
        (Kind::Corrupt, Digest::of(&truncated).to_string()),
        (Kind::Empty, Digest::of(&emptied).to_string()),
    ];
    wrong.sort_by(|a, b| a.1.cmp(&b.1));
    let found = check(&fixture.config, false);
    assert_eq!(kinds(&found), wrong);
    assert!(!found.is_sound() && path(&flipped).exists());

    let repaired = check(&fixture.config, true);
    assert_eq!(kinds(&repaired), wrong);
    assert!(repaired.is_sound());
    assert_eq!(repaired.missing.len(), 3);
    let digest = Digest::of(&flipped);
    assert!(fixture.store.blob(&own, &digest).await.unwrap().is_none());
    assert!(fixture.store.is_linked(&own, &digest).await.unwrap());
    for body in layers {
        fixture.put(&own, body).await;
        let blob = fixture
            .store
            .blob(&own, &Digest::of(body))
            .await
            .unwrap()
            .unwrap();
        assert!(content(&blob) == body);
    }
    let again = check(&fixture.config, false);
    assert!(again.problems.is_empty() && again.missing.is_empty());
}

#[tokio::test]
async fn broken_links_and_dangling_tags_are_removed() {
    let fixture = Fixture::new(None).await;
    let own = repository("docker.io/library/nginx");
    let store = &fixture.store;
    let lost = fixture.image(&own, "lost", &[b"a"]).await;
    let kept = fixture.image(&own, "kept", &[b"b"]).await;
    fs::remove_file(fixture.blob_path(&lost)).unwrap();
    let unlinked = fixture.image(&own, "unlinked", &[b"c"]).await;
    store.unlink_manifest(&own, &unlinked).await.unwrap();
    let layer = Digest::of(b"b");
    let base = fixture.v2().join("repositories/docker.io/library/nginx");
    let link = base.join(format!("_layers/sha256/{}/link", layer.hex()));
    fs::write(
        base.join("_manifests/tags/lost/current/link"),
        lost.as_str(),
    )
    .unwrap();
    let emptied = fixture.image(&own, "emptied", &[b"b"]).await;
    assert_eq!(emptied, kept);
    fs::write(&link, Digest::of(b"a").as_str()).unwrap();
    fs::write(base.join("_manifests/tags/emptied/current/link"), "").unwrap();

    let report = check(&fixture.config, true);
    let name = "docker.io/library/nginx";
    assert_eq!(
        kinds(&report),
        [
            (Kind::BrokenLink, format!("{name}@{layer}")),
            (Kind::DanglingTag, format!("{name}:emptied")),
            (Kind::DanglingTag, format!("{name}:lost")),
            (Kind::DanglingTag, format!("{name}:unlinked")),
        ]
    );
    assert!(report.is_sound());
    assert!(check(&fixture.config, false).problems.is_empty());
    let tags = store.tags(&own).await.unwrap();
    assert_eq!(tags, ["kept".parse().unwrap()]);
    assert_eq!(leftovers(&fixture.config), 0);
}

#[tokio::test]
async fn a_check_is_no_use() {
    let fixture = Fixture::new(None).await;
    let own = repository("docker.io/library/nginx");
    let path = fixture.blob_path(&fixture.put(&own, b"blob").await);
    let old = SystemTime::now() - Duration::from_secs(864_000);
    let times = fs::FileTimes::new().set_accessed(old).set_modified(old);
    File::open(&path).unwrap().set_times(times).unwrap();
    check(&fixture.config, false);
    assert_eq!(fs::metadata(&path).unwrap().accessed().unwrap(), old);
}
