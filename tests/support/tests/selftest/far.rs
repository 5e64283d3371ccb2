//! The network behind a link: what it lets through, how late, how fast, and what is left of it.

use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use fake_registry::Far;
use fake_registry::Link;
use fake_registry::PATIENCE;
use fake_registry::Random;
use fake_registry::has_all;

const FAST: Link = Link::new(Duration::from_millis(4), 125_000_000);

/// The network; `None` where this machine lets us have none, which is told by the test's name.
fn far(link: Link) -> Option<Far> {
    use io::ErrorKind::NotFound;
    use io::ErrorKind::PermissionDenied;
    match Far::new(link) {
        Err(error) if matches!(error.kind(), NotFound | PermissionDenied) => {
            has_all(&[&format!("far network: {error}")]);
            None
        }
        made => Some(made.expect("a far network")),
    }
}

/// A server in the far network that sends back what it gets, for one connection.
fn echo(far: &Far) -> SocketAddr {
    let listener = listen(far);
    let address = listener.local_addr().expect("a listener has an address");
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        io::copy(&mut &stream, &mut &stream).ok();
    });
    address
}

fn listen(far: &Far) -> TcpListener {
    let bound = far.inside(|| TcpListener::bind((far.address(), 0)));
    bound
        .and_then(|bound| bound)
        .expect("the far address can be listened on")
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    { stream.set_read_timeout(Some(PATIENCE)) }.expect("patience");
    stream
}

/// Sends `length` bytes there and reads them as they come back.
fn there_and_back(address: SocketAddr, length: usize) {
    let mut sent = vec![0; length];
    Random::new(7).fill(&mut sent);
    let stream = connect(address);
    let mut got = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(&sent).expect("the bytes are sent");
            { stream.shutdown(Shutdown::Write) }.expect("the end is sent");
        });
        (&stream).read_to_end(&mut got).expect("the bytes come");
    });
    assert!(sent == got, "other bytes came back");
}

#[test]
fn bytes_pass_unharmed_both_ways() {
    let Some(far) = far(FAST) else { return };
    there_and_back(echo(&far), 4 << 20);
    assert!(far.sent().bytes > 4 << 20 && far.received().bytes > 4 << 20);
    assert_eq!((far.sent().lost, far.received().lost), (0, 0));
}

#[test]
fn a_round_trip_takes_its_time() {
    let link = Link::new(Duration::from_millis(60), 125_000_000);
    let Some(far) = far(link) else { return };
    let address = echo(&far);
    let start = Instant::now();
    let mut stream = connect(address);
    assert!(start.elapsed() >= link.round_trip);
    let start = Instant::now();
    stream.write_all(b"a").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    assert!(start.elapsed() >= link.round_trip);
}

#[test]
fn no_more_passes_than_the_rate_has() {
    let link = Link::new(Duration::from_millis(2), 4_000_000).mtu(1500);
    let Some(far) = far(link) else { return };
    let start = Instant::now();
    there_and_back(echo(&far), 2_000_000);
    assert!(start.elapsed() >= Duration::from_millis(500));
}

#[test]
fn a_link_that_loses_everything_lets_nothing_through() {
    let Some(far) = far(FAST.loss(1.0)) else {
        return;
    };
    let address = echo(&far);
    let error = TcpStream::connect_timeout(&address, Duration::from_millis(300)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(far.sent().lost > 0);
    assert_eq!((far.sent().packets, far.received().packets), (0, 0));
}

#[test]
fn what_gets_lost_is_sent_again() {
    let Some(far) = far(FAST.loss(0.05).mtu(1500)) else {
        return;
    };
    there_and_back(echo(&far), 1 << 20);
    assert!(far.sent().lost > 0 && far.received().lost > 0);
}

#[test]
fn a_queue_that_is_full_drops() {
    // Half a megabyte at once, and room for 20 ms of 2 MB/s.
    let link = Link::new(Duration::from_millis(2), 2_000_000).mtu(1500);
    let Some(far) = far(link) else { return };
    let socket = std::net::UdpSocket::bind((far.near(), 0)).unwrap();
    for _ in 0..500 {
        // The discard port: whether anybody listens is all the same.
        let _ = socket.send_to(&[0; 1000], (far.address(), 9));
    }
    let start = Instant::now();
    while far.sent().dropped == 0 {
        assert!(start.elapsed() < PATIENCE, "nothing was dropped");
        std::thread::yield_now();
    }
}

#[test]
fn two_of_them_are_apart() {
    let (Some(one), Some(other)) = (far(FAST), far(FAST)) else {
        return;
    };
    assert_ne!(one.address(), other.address());
    there_and_back(echo(&other), 1 << 16);
    assert_eq!(one.sent().packets, 0);
    assert!(other.sent().packets > 0);
}

#[test]
fn nothing_is_left_of_it() {
    let Some(far) = far(FAST) else { return };
    there_and_back(echo(&far), 1 << 16);
    let device = device(&far);
    let namespace = far.namespace().metadata().unwrap().ino();
    assert!(Path::new(&device).exists());
    drop(far);
    // A program that another test starts this moment holds all that we have open, until it runs.
    let start = Instant::now();
    while Path::new(&device).exists() || in_use(namespace) {
        assert!(start.elapsed() < PATIENCE, "something is left");
        std::thread::yield_now();
    }
}

#[test]
fn nothing_is_left_of_it_when_its_process_is_killed() {
    const ROLE: &str = "FAR_UNTIL_KILLED";
    let Some(far) = far(FAST) else { return };
    if std::env::var_os(ROLE).is_some() {
        println!("\n/sys{}", device(&far).trim_start_matches("/sys"));
        std::thread::park_timeout(PATIENCE);
        return;
    }
    let test = std::thread::current().name().unwrap().to_owned();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture"])
        .env(ROLE, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = io::BufRead::lines(io::BufReader::new(child.stdout.take().unwrap()));
    let device = lines.find_map(|line| line.ok().filter(|line| line.starts_with("/sys/")));
    let device = device.expect("the child says which device it has");
    assert!(Path::new(&device).exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let start = Instant::now();
    while Path::new(&device).exists() {
        assert!(start.elapsed() < PATIENCE, "{device} is still there");
        std::thread::yield_now();
    }
}

/// The device on this side, in sysfs.
fn device(far: &Far) -> String {
    format!("/sys/class/net/tidegate-far{}", far.address().octets()[2])
}

/// Whether any thread is in the namespace, or this process holds it.
fn in_use(namespace: u64) -> bool {
    let name = format!("net:[{namespace}]");
    let is = |path: &Path| std::fs::read_link(path).is_ok_and(|to| to.as_os_str() == &*name);
    let entries = |path: &Path| {
        let folder = std::fs::read_dir(path).into_iter().flatten();
        folder
            .flatten()
            .map(|entry| entry.path())
            .collect::<Vec<_>>()
    };
    let tasks = { entries(Path::new("/proc")) }
        .into_iter()
        .flat_map(|process| entries(&process.join("task")));
    { tasks.map(|task| task.join("ns/net")) }
        .chain(entries(Path::new("/proc/self/fd")))
        .any(|path| is(&path))
}
