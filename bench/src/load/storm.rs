//! Many small requests over a few keep-alive connections: one epoll loop, no allocation and one
//! `read` and one `write` a request.

use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll;

use super::answer::Head;
use super::pull::manifest_request;

/// Before this much time has passed, nothing is counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// How the requests went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Storm {
    /// Answers a second.
    pub(crate) rate: f64,
    /// All answers, the warm-up's too.
    pub(crate) answers: u64,
    /// The 99th percentile of the time from request to whole answer, in milliseconds.
    pub(crate) p99: f64,
}

/// Asks for a tag's manifest over `connections` connections for `time`.
///
/// # Errors
/// When a connection ends, or an answer is not what the first one was.
pub(crate) fn storm(
    addr: SocketAddr,
    tag: &str,
    connections: usize,
    time: Duration,
) -> anyhow::Result<Storm> {
    let request = manifest_request(tag).into_bytes();
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut clients = Vec::with_capacity(connections);
    for number in 0..connections {
        let mut client = Client::connect(addr)?;
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&epoll, &client.stream, data, epoll::EventFlags::IN)?;
        client.ask(&request)?;
        clients.push(client);
    }
    let begin = Instant::now() + WARM_UP;
    let end = begin + time;
    let mut answers = 0;
    let mut latencies: Vec<u32> = Vec::with_capacity(1 << 20);
    let mut events = Vec::with_capacity(connections);
    let silence = Timespec {
        tv_sec: 10,
        tv_nsec: 0,
    };
    loop {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), Some(&silence))?;
        anyhow::ensure!(!events.is_empty(), "no answer for 10 seconds");
        let now = Instant::now();
        for event in events.drain(..) {
            let client = &mut clients[event.data.u64() as usize];
            if let Some(took) = client.hear()? {
                answers += 1;
                if now >= begin {
                    latencies.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
                }
                client.ask(&request)?;
            }
        }
        if now >= end {
            break;
        }
    }
    let measured = begin.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = latencies.len() * 99 / 100;
    let p99 = latencies.get(at).context("no answers at all")?;
    Ok(Storm {
        rate: latencies.len() as f64 / measured,
        answers,
        p99: f64::from(*p99) / 1e3,
    })
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    asked: Instant,
    /// The length of the first body: all others must have it too.
    length: Option<u64>,
}

impl Client {
    fn connect(addr: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; 64 * 1024],
            filled: 0,
            asked: Instant::now(),
            length: None,
        })
    }

    fn ask(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.asked = Instant::now();
        self.filled = 0;
        let written = self.stream.write(request)?;
        anyhow::ensure!(written == request.len(), "a request did not fit the socket");
        Ok(())
    }

    /// Reads what is there; the time since the request, where the answer is whole.
    fn hear(&mut self) -> anyhow::Result<Option<Duration>> {
        match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => anyhow::bail!("the server ended a keep-alive connection"),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let Some(head) = Head::parse(&self.buffer[..self.filled])? else {
            return Ok(None);
        };
        if (self.filled as u64) < head.length as u64 + head.content_length {
            return Ok(None);
        }
        anyhow::ensure!(head.status == 200, "a manifest came with {}", head.status);
        let length = *self.length.get_or_insert(head.content_length);
        anyhow::ensure!(length == head.content_length, "the manifest changed");
        Ok(Some(self.asked.elapsed()))
    }
}
