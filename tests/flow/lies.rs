//! Answers that are not what they promise to be: never completed at a client, never kept, counted,
//! logged with upstream and digest, and healed by the next honest answer.

use std::sync::Arc;

use fake_registry::Client;
use fake_registry::Content;
use fake_registry::Fault;
use fake_registry::When;
use tidegate::admin;
use tidegate::admin::Admin;
use tidegate::admin::Readiness;

use crate::log::lines_with;
use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::cache;

const SIZE: u64 = 4 * MIB;

fn path(digest: &str) -> String {
    format!("demo/app/blobs/{digest}")
}

/// What is wrong with an answer to the `GET` of a blob of [`SIZE`] bytes.
fn lies() -> Vec<(&'static str, Fault)> {
    vec![
        ("a bit of the first byte", Fault::flip_bit_at(0)),
        ("a bit in the middle", Fault::flip_bit_at(SIZE / 2)),
        ("a bit of the last byte", Fault::flip_bit_at(SIZE - 1)),
        ("a length above the real one", Fault::wrong_length(1000)),
        ("a length below the real one", Fault::wrong_length(-1000)),
        ("too few bytes, and it says so", Fault::length(SIZE - 1)),
        ("too many bytes, and it says so", Fault::length(SIZE + 1)),
        ("no end, in chunks", Fault::endless()),
        ("no end, and a length of its own", Fault::length(6 * SIZE)),
        ("no body", Fault::length(0)),
        (
            "no body, in chunks",
            Fault::length(0).and(Fault::no_content_length()),
        ),
        (
            "compressed",
            Fault::extra_header("content-encoding", "gzip"),
        ),
        ("a 206 that was not asked for", Fault::other_range(1000)),
        (
            "wrong, in chunks",
            Fault::flip_bit_at(5).and(Fault::no_content_length()),
        ),
    ]
}

/// Whether the answer was an error, or broke off.
async fn fails(rig: &Rig, path: &str) -> bool {
    let reply = match rig.client.get(rig.url(path)).send().await {
        Ok(reply) => reply,
        Err(_) => return true,
    };
    if reply.status.is_server_error() {
        let error = reply.json().await.expect("an OCI error");
        return error["errors"][0]["code"] == "UNAVAILABLE";
    }
    let (status, promised) = (reply.status, reply.content_length());
    let (read, error) = reply.bytes_until_error().await;
    status == 200 && error.is_some() && Some(read.len() as u64) < promised
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_completed_or_kept_and_the_next_honest_answer_heals() {
    for (number, (what, fault)) in lies().into_iter().enumerate() {
        let rig = Rig::with(Setup {
            // More than the endless one with a length sends, less than the other.
            max_size: Some(8 * SIZE),
            ..Setup::default()
        })
        .await;
        let seed = 2000 + number as u64;
        let digest = rig.up.put_generated_blob("demo/app", SIZE, seed);
        if what == "no end, in chunks" {
            // Else it is read to the length that is known, and is right.
            let silent = Fault::no_content_length();
            rig.up.fault(When::head(&digest), silent);
        }
        rig.up.fault(When::get(&digest).times(1), fault);
        assert!(fails(&rig, &path(&digest)).await, "{what}");
        rig.flow.settled().await;
        assert_eq!(rig.unfinished(), 0, "{what}");
        assert!(rig.state().mismatches >= 1, "{what}: counted");
        let told = lines_with(&digest);
        let named = told.iter().any(|line| line.contains("up.test/demo/app"));
        assert!(named, "{what}: {told:?}");
        let healed = rig.get(&path(&digest)).await;
        assert_eq!(cache(&healed), "MISS", "{what}");
        assert_eq!(healed.digest().await.unwrap(), digest, "{what}");
        rig.flow.settled().await;
        assert_eq!(cache(&rig.get(&path(&digest)).await), "HIT", "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn also_where_nothing_can_be_stored() {
    for (number, (what, fault)) in lies().into_iter().enumerate() {
        let rig = Rig::with(Setup {
            max_size: Some(8 * SIZE),
            ..Setup::default()
        })
        .await;
        let folder = rig.store().join("tidegate/tmp");
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::write(&folder, "not a folder").unwrap();
        let seed = 2050 + number as u64;
        let digest = rig.up.put_generated_blob("demo/app", SIZE, seed);
        if what == "no end, in chunks" {
            let silent = Fault::no_content_length();
            rig.up.fault(When::head(&digest), silent);
        }
        let lie = rig.up.fault(When::get(&digest), fault);
        assert!(fails(&rig, &path(&digest)).await, "{what}");
        // One that ends early is not told from a broken connection: nobody asks for its rest.
        let is_counted = rig.state().mismatches >= 1;
        assert!(
            is_counted || what == "a length above the real one",
            "{what}"
        );
        lie.lift();
        let healed = rig.get(&path(&digest)).await;
        assert_eq!(cache(&healed), "BYPASS", "{what}");
        assert_eq!(healed.digest().await.unwrap(), digest, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_blob_is_checked_before_its_first_byte_is_given() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", 60_000, 2100);
    rig.up
        .fault(When::get(&digest).times(1), Fault::flip_bit_at(59_999));
    let raw = rig.raw(&path(&digest)).await;
    let end = raw.windows(4).position(|four| four == b"\r\n\r\n");
    assert!(end.is_none_or(|end| end + 4 == raw.len()), "no byte of it");
    assert_eq!(
        rig.get(&path(&digest)).await.digest().await.unwrap(),
        digest
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_answer_to_a_resumption_is_not_mixed_in() {
    let lies = [
        ("another range", Fault::other_range(2 * MIB + 1)),
        ("a part under the status of a whole", Fault::relabel(200)),
        (
            "compressed",
            Fault::extra_header("content-encoding", "gzip"),
        ),
        (
            "another size",
            Fault::extra_header("content-range", "bytes 1048576-4194303/9999999"),
        ),
        ("no Content-Range", Fault::without_header("content-range")),
    ];
    for (number, (what, fault)) in lies.into_iter().enumerate() {
        let rig = Rig::start().await;
        let seed = 2200 + number as u64;
        let digest = rig.up.put_generated_blob("demo/app", SIZE, seed);
        rig.up
            .fault(When::get(&digest).nth(1), Fault::cut_after(MIB));
        rig.up.fault(When::get(&digest).nth(2), fault);
        let reply = rig.get(&path(&digest)).await;
        assert_eq!(reply.digest().await.unwrap(), digest, "{what}");
        let log = rig.up.log();
        let asked: Vec<_> = log.iter().map(|r| r.header("range")).collect();
        let rest = Some("bytes=1048576-");
        assert_eq!(asked, [None, rest, rest], "{what}");
        assert_eq!(rig.state().mismatches, 1, "{what}");
        let told = lines_with(&digest);
        assert!(told.iter().any(|line| line.contains("wrong")), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_another_range_is_refused() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 2300);
    rig.up
        .fault(When::get(&digest).times(1), Fault::other_range(1000));
    let reply = rig.range(&path(&digest), "bytes=0-99").await;
    assert_eq!(reply.status.as_u16(), 502);
    assert_eq!(rig.state().mismatches, 1);
    assert!(!lines_with(&digest).is_empty());
    let reply = rig.range(&path(&digest), "bytes=0-99").await;
    let first = Content::generated(SIZE, 2300).read(0, 100);
    assert!(reply.bytes().await.unwrap() == first);
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_too() {
    let lies = [
        ("a bit", Fault::flip_bit_at(3)),
        (
            "compressed",
            Fault::extra_header("content-encoding", "gzip"),
        ),
        ("no end", Fault::endless()),
        ("too few bytes", Fault::length(5)),
    ];
    for (number, (what, fault)) in lies.into_iter().enumerate() {
        let rig = Rig::start().await;
        let tag = format!("lie-{number}");
        let digest = rig.put_image("demo/app", &tag, &[]);
        let lie = rig.up.fault(When::get("manifests"), fault);
        for reference in [&tag, &digest] {
            let path = format!("demo/app/manifests/{reference}");
            assert_eq!(rig.manifest(&path).await.status.as_u16(), 502, "{what}");
            let told = lines_with(reference);
            let named = told.iter().any(|line| line.contains("up.test/demo/app"));
            assert!(named, "{what}: {told:?}");
        }
        assert_eq!(rig.state().mismatches, 2, "{what}");
        lie.lift();
        let path = format!("demo/app/manifests/{tag}");
        let reply = rig.manifest(&path).await;
        assert_eq!(reply.digest().await.unwrap(), digest, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_counts_them() {
    let rig = Rig::start().await;
    let readiness = Readiness::new(rig.shelf.clone(), rig.flow.clone(), rig.ledger());
    let listen = Some(([127, 0, 0, 1], 0).into());
    let config = admin::Config {
        listen,
        login: None,
    };
    let admin = Admin::bind(config, readiness, Arc::default())
        .await
        .unwrap();
    let status = format!("http://{}/api/v1/status", admin.local_addr().unwrap());
    tokio::spawn(admin.run(std::future::pending()));
    let up = async || {
        let reply = Client::new().get(&status).send().await.unwrap();
        reply.json().await.unwrap()["upstreams"][0].clone()
    };
    for key in ["mismatches", "resumes", "retries"] {
        assert_eq!(up().await[key], 0, "{key}");
    }
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 2400);
    rig.up.fault(When::get(&digest).nth(1), Fault::status(503));
    rig.up
        .fault(When::get(&digest).nth(2), Fault::cut_after(MIB));
    rig.up
        .fault(When::get(&digest).nth(3), Fault::flip_bit_at(SIZE - 1));
    assert!(fails(&rig, &path(&digest)).await);
    rig.flow.settled().await;
    for key in ["mismatches", "resumes", "retries"] {
        assert_eq!(up().await[key], 1, "{key}");
    }
    assert_eq!(up().await["state"], "up");
}
