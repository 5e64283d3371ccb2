//! A disk that refuses in mid-blob, or does not keep what it took.

use fake_registry::Client;
use fake_registry::Content;
use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Reply;
use fake_registry::When;
use fake_registry::digest_of;
use futures_util::future::join_all;

use crate::need;
use crate::rig::APP;
use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;

/// No file may become longer than this, in bytes: as a disk that fails there (`setrlimit(2)`).
const LIMIT: u64 = 5 * MIB;

fn limited() -> Setup {
    Setup::wrapped(&format!(
        "trap '' XFSZ\nexec prlimit --fsize={LIMIT} \"$@\""
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_in_mid_blob_fails_no_pull() {
    let rig = Rig::with(limited()).await;
    let content = Content::generated(16 * MIB, 1);
    let digest = rig.up.put_content(APP, content);
    let gate = Gate::new();
    rig.up.fault(
        When::get(&digest).times(1),
        Fault::stall_after(3 * MIB, &gate),
    );
    let path = format!("blobs/{digest}");
    let mut begun: Vec<Reply> = Vec::new();
    for client in [Client::new(), Client::h2c(), Client::new(), Client::h2c()] {
        begun.push(client.get(rig.url(&path)).send().await.unwrap());
    }
    for reply in &mut begun {
        assert_eq!(reply.content_length(), Some(16 * MIB));
    }
    let range = format!("{}-", 2 * MIB);
    let late = rig.client.get(rig.url(&path)).range(&range);
    let late = late.send().await.unwrap();
    gate.open();
    let rest = tokio::spawn(late.bytes());
    for got in join_all(begun.into_iter().map(Reply::digest)).await {
        assert_eq!(got.unwrap(), digest, "{}", rig.proxy.log());
    }
    let content = Content::generated(16 * MIB, 1);
    let rest = rest.await.unwrap().unwrap();
    assert!(rest.len() as u64 == 14 * MIB && is_part(&content, 2 * MIB, &rest));
    rig.logged("a client goes on from the upstream").await;
    assert!(!rig.blob(&digest).exists());
    rig.settled().await;
    assert_eq!(rig.leftovers(), 0);
}

fn is_part(content: &Content, start: u64, bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        let right = content.read(start + at as u64, (bytes.len() - at) as u64);
        if bytes[at..at + right.len()] != right[..] {
            return false;
        }
        at += right.len();
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_on_from_the_upstream_is_resumed_and_never_given_a_wrong_byte() {
    let rig = Rig::with(limited()).await;
    let digest = rig.up.put_generated_blob(APP, 16 * MIB, 2);
    // The first answer fills the file, the others are to the client that goes on.
    rig.up
        .fault(When::get(&digest).after(1).times(3), Fault::cut_after(MIB));
    rig.up
        .fault(When::get(&digest).after(3).times(2), Fault::ignore_range());
    rig.pull(&digest).await;

    rig.up.clear_faults();
    let wrong = Fault::flip_bit_at(12 * MIB);
    rig.up.fault(When::get(&digest).after(1), wrong);
    let reply = rig.get(&format!("blobs/{digest}")).await;
    let (read, error) = reply.bytes_until_error().await;
    assert!(error.is_some() && (read.len() as u64) < 16 * MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_of_unknown_length_is_served_where_the_disk_fails() {
    let rig = Rig::with(limited()).await;
    let digest = rig.up.put_generated_blob(APP, 16 * MIB, 3);
    rig.up
        .fault(When::path(&digest), Fault::no_content_length());
    let reply = rig.get(&format!("blobs/{digest}")).await;
    assert_eq!(reply.content_length(), Some(16 * MIB));
    assert_eq!(reply.digest().await.unwrap(), digest);
    rig.settled().await;
    assert_eq!(rig.leftovers(), 0);
}

/// A proxy whose system calls fail as `inject` says (`strace(1)`, tampering).
fn injected(inject: &str) -> Setup {
    let (call, _) = inject.split_once(':').unwrap();
    Setup::wrapped(&format!(
        "exec strace -D -f -qqq -o /dev/null -e trace={call} -e inject={inject} \"$@\""
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_io_error_in_mid_blob_fails_no_pull() {
    if !need::may_trace() {
        return;
    }
    let rig = Rig::with(injected("pwritev:error=EIO:when=3+")).await;
    let digest = rig.up.put_generated_blob(APP, 16 * MIB, 4);
    rig.pull(&digest).await;
    rig.logged("Input/output error").await;
    let image = rig.put_image("v1", 5);
    rig.pull_image("v1", &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_disk_does_not_keep_is_not_published() {
    if !need::may_trace() {
        return;
    }
    let rig = Rig::with(injected("fdatasync:error=EIO")).await;
    let digest = rig.up.put_generated_blob(APP, 64 * MIB, 6);
    let mut slow = rig.get(&format!("blobs/{digest}")).await;
    let head = slow.read_exactly(MIB as usize).await.unwrap();
    rig.pull(&digest).await;
    rig.logged("did not keep what was written").await;
    assert!(!rig.blob(&digest).exists());
    // What is in the file can't be relied on any more.
    let rest = slow.bytes().await.unwrap();
    assert_eq!(digest_of(&[head, rest].concat()), digest);
    rig.logged("a client goes on from the upstream").await;
    let image = rig.put_image("v1", 7);
    rig.pull_image("v1", &image).await;
    rig.logged("the manifest can't be stored").await;
    assert!(!rig.blob(image.digest()).exists());
    rig.settled().await;
    assert_eq!(rig.leftovers(), 0);
}
