use http::Method;

use super::*;
use crate::oci::Digest;
use crate::oci::Repository;

fn draft(ledger: &Ledger, leg: Leg) -> Draft {
    Draft::begin(ledger, leg, FlowId::next(), Method::GET)
}

fn subject() -> Subject {
    Subject {
        flow: FlowId::next(),
        repository: Repository::new("up.test".parse().unwrap(), "a/b".parse().unwrap()),
        digest: Digest::of(b"x"),
    }
}

/// What a body of `bytes` leaves that ends when `said` of them.
fn books_after(bytes: usize, said: impl FnOnce(&Account)) -> Books {
    let ledger = Ledger::new();
    let mut draft = draft(&ledger, Leg::Upstream);
    let account = draft.account();
    draft.count(bytes);
    draft.seal(End::Complete);
    assert_eq!(ledger.books().open, 1, "somebody may still say something");
    said(&account);
    drop(account);
    ledger.books()
}

#[test]
fn an_account_whose_sides_agree_is_no_imbalance() {
    let books = books_after(100, |account| {
        account.enter(Fate::Passed, 60);
        account.enter(Fate::Committed, 30);
        account.discard(Reason::Skipped, 10);
    });
    assert!(books.agree());
    assert_eq!((books.imbalance, books.open), (0, 0));
    assert_eq!(
        (books.upstream_received, books.passed, books.committed),
        (100, 60, 30)
    );
    assert_eq!(books.discarded[&Reason::Skipped], 10);
}

#[test]
fn what_is_forgotten_or_said_twice_is_an_imbalance() {
    assert_eq!(
        books_after(100, |account| account.enter(Fate::Passed, 99)).imbalance,
        1
    );
    assert_eq!(
        books_after(100, |account| account.enter(Fate::Passed, 101)).imbalance,
        1
    );
    assert_eq!(books_after(100, |_| {}).imbalance, 100);
    assert!(!books_after(100, |_| {}).agree());
}

#[test]
fn differences_do_not_make_up_for_each_other() {
    let ledger = Ledger::new();
    for said in [9, 11] {
        let mut draft = draft(&ledger, Leg::Client);
        draft.account().enter(Fate::Given(Source::Own), said);
        draft.count(10);
    }
    let books = ledger.books();
    assert_eq!((books.imbalance, books.client_sent), (2, 20));
    assert!(books.agree(), "the sums alone would not tell");
}

#[test]
fn what_is_left_unspent_was_abandoned() {
    let books = books_after(10, |account| {
        let mut unspent = account.unspent();
        unspent.add(10);
        unspent.spend(Fate::Passed, 3);
        let mut taken = unspent.take();
        taken.spend(Fate::Passed, 2);
        unspent.spend_all(Fate::Passed);
    });
    assert_eq!((books.imbalance, books.passed), (0, 5));
    assert_eq!(books.discarded[&Reason::Abandoned], 5);
}

/// What two bodies of 10 bytes leave, of which 8 each are kept.
fn books_of_deposit(end: impl FnOnce(&Deposit)) -> Books {
    let ledger = Ledger::new();
    let (mut one, mut other) = (draft(&ledger, Leg::Upstream), draft(&ledger, Leg::Upstream));
    let deposit = one.account().deposit(subject());
    for draft in [&mut one, &mut other] {
        draft.count(10);
        let mut unspent = draft.account().unspent();
        unspent.add(10);
        unspent.keep(&deposit, 8);
        unspent.spend_all(Fate::Discarded(Reason::Surplus));
    }
    drop((one, other));
    let books = ledger.books();
    assert_eq!((books.held, books.open), (16, 1));
    assert!(books.agree());
    end(&deposit);
    drop(deposit);
    ledger.books()
}

#[test]
fn a_deposit_is_published_or_thrown_away_as_a_whole() {
    let books = books_of_deposit(|deposit| {
        deposit.commit(16);
        deposit.discard(Reason::Mismatch);
    });
    assert_eq!(
        (books.committed, books.held, books.imbalance),
        (16, 0, 0),
        "the first word holds"
    );
    let books = books_of_deposit(|deposit| deposit.discard(Reason::Mismatch));
    assert_eq!(
        (books.discarded[&Reason::Mismatch], books.imbalance),
        (16, 0)
    );
    let books = books_of_deposit(|_| {});
    assert_eq!(
        (books.discarded[&Reason::Abandoned], books.imbalance),
        (16, 0)
    );
    assert!(books.agree());
    let books = books_of_deposit(|deposit| deposit.commit(15));
    assert_eq!((books.committed, books.imbalance), (15, 1));
}

#[derive(Debug, Default)]
struct Ends(std::sync::Mutex<Vec<(u64, End)>>);

impl Sink for Ends {
    fn exchange(&self, receipt: &Receipt) {
        let mut ends = self.0.lock().unwrap();
        ends.push((receipt.response_bytes, receipt.end));
    }

    fn connection(&self, _: &Connection) {}
}

#[test]
fn an_exchange_ends_when_its_last_bytes_are_sent_or_lost() {
    let ends = Arc::new(Ends::default());
    let ledger = Ledger::with(vec![ends.clone()]);
    for lost in [0, 40] {
        let mut draft = draft(&ledger, Leg::Client);
        let (account, transit) = (draft.account(), draft.transit());
        draft.count(100);
        draft.seal(End::Complete);
        assert_eq!(ledger.books().open, 1);
        account.enter(Fate::Given(Source::Store), 100 - lost);
        transit.lose(lost);
        drop((account, transit));
    }
    let books = ledger.books();
    assert_eq!(
        (books.client_sent, books.imbalance, books.open),
        (160, 0, 0)
    );
    let ends = ends.0.lock().unwrap();
    assert_eq!(*ends, [(100, End::Complete), (60, End::Cancelled)]);
}

#[test]
fn who_asks_for_no_account_is_not_in_the_books() {
    let ledger = Ledger::new();
    draft(&ledger, Leg::Tap).count(100);
    let books = ledger.books();
    assert_eq!(
        (books.upstream_received, books.client_sent, books.imbalance),
        (0, 0, 0)
    );
}

#[test]
fn the_books_name_all_reasons_and_sources() {
    let json = serde_json::to_value(Ledger::new().books()).unwrap();
    assert_eq!(
        json["discarded"].as_object().unwrap().len(),
        Reason::ALL.len()
    );
    assert_eq!(json["client_given"]["store"], 0);
    assert_eq!(json["imbalance"], 0);
}
