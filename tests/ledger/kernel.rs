//! What the kernel counted on a connection, from outside of the program that has it.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use fake_registry::PATIENCE;

/// One end of a connection, as `ss` shows it (`TCP_INFO`), in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// What the other end acknowledged. Who dialled counts the SYN as one byte.
    pub(crate) acked: u64,
    /// What came.
    pub(crate) received: u64,
    /// What is still to be sent, or acknowledged.
    pub(crate) queued: u64,
}

/// The end at `local` of the connection with `remote`; `None` where there is none.
pub(crate) fn end(local: SocketAddr, remote: SocketAddr) -> Option<End> {
    let filter = format!("src = {local} and dst = {remote}");
    let said = Command::new("ss").args(["-tinOH", &filter]).output();
    let said = String::from_utf8(said.unwrap().stdout).unwrap();
    let line = said.lines().next()?;
    let words: Vec<_> = line.split_whitespace().collect();
    let figure = |name: &str| {
        let found = words.iter().find_map(|word| word.strip_prefix(name));
        found.map_or(0, |figure| figure.parse().unwrap())
    };
    Some(End {
        acked: figure("bytes_acked:"),
        received: figure("bytes_received:"),
        queued: words[2].parse().unwrap(),
    })
}

/// As [`end`], once `settled` says so of it.
pub(crate) async fn settled(
    (local, remote): (SocketAddr, SocketAddr),
    settled: impl Fn(&End) -> bool,
) -> End {
    let since = Instant::now();
    loop {
        let end = end(local, remote).expect("the connection is there");
        if settled(&end) {
            return end;
        }
        assert!(since.elapsed() < PATIENCE, "it does not settle: {end:?}");
        tokio::task::yield_now().await;
    }
}
