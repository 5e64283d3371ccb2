//! What a running proxy says of its books.

use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;

/// How the log line begins that tells of a transfer whose accounts differ.
const UNBALANCED: &str = "the books do not balance";
/// How long what is under way may take to end, before the books are looked at as they are.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(2);
/// How often they are looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// Fails where a proxy that logged `log`, and may still run with its admin listener at `admin`, has
/// lost count of a byte. Blocks: it is for drops.
pub(crate) fn check(log: &str, admin: Option<&str>) {
    let told: Vec<_> = log.lines().filter(|it| it.contains(UNBALANCED)).collect();
    assert!(told.is_empty(), "{told:#?}");
    let deadline = Instant::now() + PATIENCE;
    // One that has ended, or that wants a login, has told what there is to tell in its log.
    while let Some(books) = admin.and_then(ask) {
        assert_eq!(books["imbalance"], 0, "{books:#}");
        if books["open"] == 0 {
            return assert_balance(&books);
        }
        if Instant::now() > deadline {
            return;
        }
        std::thread::sleep(GLANCE);
    }
}

/// The totals agree, of a proxy that has nothing to do.
fn assert_balance(books: &Value) {
    let number = |value: &Value| value.as_u64().expect("a number of bytes");
    let sum = |map: &Value| -> u64 {
        let map = map.as_object().expect("figures by name");
        map.values().map(number).sum()
    };
    let used = number(&books["committed"]) + number(&books["passed"]) + sum(&books["discarded"]);
    assert_eq!(number(&books["held"]), 0, "{books:#}");
    let received = number(&books["upstream_received"]) + number(&books["target_received"]);
    assert_eq!(received, used, "{books:#}");
    let given = sum(&books["client_given"]);
    assert_eq!(number(&books["client_sent"]), given, "{books:#}");
    let uploaded = number(&books["target_committed"]) + sum(&books["target_discarded"]);
    assert_eq!(number(&books["target_sent"]), uploaded, "{books:#}");
}

/// The books in `/api/v1/status`; `None` where there is no such answer.
fn ask(admin: &str) -> Option<Value> {
    let host = admin.strip_prefix("http://")?;
    let mut stream = TcpStream::connect_timeout(&host.parse().ok()?, ANSWER).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    let request = format!("GET /api/v1/status HTTP/1.0\r\nhost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    let (header, body) = reply.split_once("\r\n\r\n")?;
    if !header.split(' ').nth(1)?.starts_with("200") {
        return None;
    }
    let status: Value = serde_json::from_str(body).ok()?;
    // A program that is no tidegate of today has none.
    status.get("books").cloned()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::panic::catch_unwind;

    use serde_json::json;

    use super::*;

    /// Whether a proxy is believed that answers once, with these books.
    fn passes(books: Value) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = format!("http://{}", listener.local_addr().unwrap());
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut start = [0; 512];
            let _ = stream.read(&mut start).unwrap();
            let body = json!({ "books": books });
            write!(stream, "HTTP/1.0 200 OK\r\n\r\n{body}").unwrap();
        });
        let passed = catch_unwind(|| check("", Some(&admin))).is_ok();
        answering.join().unwrap();
        passed
    }

    #[test]
    fn a_byte_that_is_missing_is_noticed() {
        let books = |received: u64, sent: u64, imbalance: u64| {
            json!({
                "upstream_received": received - 1, "target_received": 1, "committed": 5, "passed": 3, "held": 0,
                "discarded": {"skipped": 2, "error": 0}, "client_sent": sent,
                "client_given": {"store": 1, "flow": 8}, "target_sent": 7, "target_committed": 5,
                "target_discarded": {"refused": 2, "broken": 0}, "imbalance": imbalance, "open": 0,
            })
        };
        assert!(passes(books(10, 9, 0)));
        assert!(!passes(books(11, 9, 0)));
        assert!(!passes(books(10, 8, 0)));
        assert!(!passes(books(10, 9, 1)));
        let mut uploads = books(10, 9, 0);
        uploads["target_committed"] = 6.into();
        assert!(!passes(uploads));
        let nobody = Some("http://127.0.0.1:1");
        assert!(catch_unwind(|| check("all is well", nobody)).is_ok());
        assert!(catch_unwind(|| check("ERROR the books do not balance", nobody)).is_err());
    }
}
