//! What the store says in the books of what was written: how much of it was published, or why none.

use http::Method;
use tidegate::ledger::Books;
use tidegate::ledger::Draft;
use tidegate::ledger::End;
use tidegate::ledger::FlowId;
use tidegate::ledger::Ledger;
use tidegate::ledger::Leg;
use tidegate::ledger::Reason;
use tidegate::ledger::Subject;

use super::*;

const CONTENT: &[u8] = b"0123456789";

/// The books after [`CONTENT`] came from an upstream, was kept in a file, and `end` with its writer.
async fn books_after(fixture: &Fixture, end: impl AsyncFnOnce(Writer)) -> Books {
    let ledger = Ledger::new();
    let flow = FlowId::next();
    let mut draft = Draft::begin(&ledger, Leg::Upstream, flow, Method::GET);
    let account = draft.account();
    let deposit = account.deposit(Subject {
        flow,
        repository: repository("docker.io/a/b"),
        digest: Digest::of(CONTENT),
    });
    let mut unspent = account.unspent();
    draft.count(CONTENT.len());
    unspent.add(CONTENT.len());
    unspent.keep(&deposit, CONTENT.len() as u64);
    draft.seal(End::Complete);
    let mut writer = fixture.write(CONTENT).await;
    writer.account_for(deposit);
    drop((account, unspent));
    end(writer).await;
    let books = ledger.books();
    assert_eq!((books.imbalance, books.open, books.held), (0, 0, 0));
    assert!(books.agree());
    books
}

async fn commit(writer: Writer) {
    let repositories = [repository("docker.io/a/b")];
    writer
        .commit(&Digest::of(CONTENT), &repositories)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_is_published_is_committed_once() {
    let fixture = Fixture::new(None).await;
    let books = books_after(&fixture, commit).await;
    assert_eq!(books.committed, 10);
    let books = books_after(&fixture, commit).await;
    assert_eq!(
        (books.committed, books.discarded[&Reason::Duplicate]),
        (0, 10)
    );
}

#[tokio::test]
async fn what_is_larger_than_the_store_is_not_kept() {
    let fixture = Fixture::new(Some(5)).await;
    let books = books_after(&fixture, commit).await;
    assert_eq!(
        (books.committed, books.discarded[&Reason::Oversized]),
        (0, 10)
    );
}

#[tokio::test]
async fn what_is_dropped_is_abandoned() {
    let fixture = Fixture::new(None).await;
    let books = books_after(&fixture, async |writer| drop(writer)).await;
    assert_eq!(
        (books.committed, books.discarded[&Reason::Abandoned]),
        (0, 10)
    );
}
