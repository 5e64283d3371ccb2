//! A connection on which anything is sent, and what comes back.

use std::io::ErrorKind;
use std::io::Read as _;
use std::io::Write as _;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

/// How long a server may take to close a connection after we closed our side.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an answer is waited for before our side is closed, so that a request that isn't whole
/// ends. No check depends on it.
const GLANCE: Duration = Duration::from_millis(15);

/// Sends `bytes`, and gives all that comes until the server closes.
pub(crate) fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    // The server may close in the middle of a long request.
    let _ = stream.write_all(bytes);
    let mut reply = Vec::new();
    stream.set_read_timeout(Some(GLANCE)).expect("a timeout");
    while !is_whole(&reply) && read_some(&mut stream, &mut reply) == Got::Bytes {}
    let _ = stream.shutdown(Shutdown::Write);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    loop {
        match read_some(&mut stream, &mut reply) {
            Got::Bytes => assert!(reply.len() < 4 << 20, "an endless answer"),
            Got::End => return reply,
            Got::Nothing => panic!("the connection is still open after {PATIENCE:?}"),
        }
    }
}

#[derive(PartialEq)]
enum Got {
    Bytes,
    Nothing,
    End,
}

fn read_some(stream: &mut TcpStream, reply: &mut Vec<u8>) -> Got {
    let mut buffer = [0; 16 << 10];
    match stream.read(&mut buffer) {
        Ok(0) => Got::End,
        Ok(count) => {
            reply.extend_from_slice(&buffer[..count]);
            Got::Bytes
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Got::Nothing
        }
        Err(_) => Got::End,
    }
}

/// Whether an HTTP/1 answer is there with its body.
fn is_whole(reply: &[u8]) -> bool {
    let Some((head, body)) = split(reply) else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    body.len() >= length.unwrap_or(0)
}

/// The head and the body of an HTTP/1 answer.
pub(crate) fn split(reply: &[u8]) -> Option<(&str, &[u8])> {
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&reply[..end]).ok()?, &reply[end + 4..]))
}

/// The status of an HTTP/1 answer.
pub(crate) fn status(reply: &[u8]) -> Option<u16> {
    let (head, _) = split(reply)?;
    head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()
}
