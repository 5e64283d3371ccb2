//! The ends of the link: TUN devices, whose packets a program reads and writes.

use std::io;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::runtime::Runtime;
use tokio_tun::Tun;

use super::Link;

/// A TUN device of the namespace that it was made in. It is gone with its last holder.
pub(super) struct Device {
    /// What waits for packets.
    pub(super) runtime: Runtime,
    pub(super) tun: Arc<Tun>,
}

/// Packets that may wait for the relay: more than any burst, so that only the link's own queue
/// drops some.
const BACKLOG: u32 = 20_000;

impl Device {
    /// One with a number that no other link on this machine has: while there is a device, nobody
    /// else gets its name.
    pub(super) fn near() -> io::Result<(Self, u8)> {
        for slot in 0..=u8::MAX {
            match Self::new(&format!("tidegate-far{slot}")) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
                made => return Ok((made?, slot)),
            }
        }
        Err(io::Error::other(
            "there are 256 far networks, and no number for one more",
        ))
    }

    /// The only one of a namespace.
    pub(super) fn far() -> io::Result<Self> {
        Self::new("near0")
    }

    fn new(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let context = runtime.enter();
        let made = Tun::builder().name(name).build();
        drop(context);
        let mut made = made.map_err(|error| {
            let error = match error {
                tokio_tun::Error::NixError(error) => error.into(),
                tokio_tun::Error::IoError(error) => error,
            };
            let text = format!("no TUN device (/dev/net/tun): {error}");
            io::Error::new(error.kind(), text)
        })?;
        let tun = made
            .pop()
            .ok_or_else(|| io::Error::other("no TUN device"))?;
        Ok(Self {
            runtime,
            tun: Arc::new(tun),
        })
    }

    /// Gives it the first address, and a way to the second.
    pub(super) fn set_up(&self, [own, other]: [Ipv4Addr; 2], link: Link) -> io::Result<()> {
        let name = self.tun.name();
        let (mtu, first) = (link.mtu, link.first_segments());
        ip(&format!(
            "link set dev lo up
link set dev {name} mtu {mtu} txqueuelen {BACKLOG} up
address add {own} peer {other} dev {name}
route change {other} dev {name} src {own} initcwnd {first}
"
        ))
    }
}

/// Has `ip` carry out these lines.
fn ip(lines: &str) -> io::Result<()> {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            let text = format!("the program 'ip' (iproute2) does not run: {error}");
            io::Error::new(error.kind(), text)
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(lines.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(io::Error::other(format!("'ip' failed: {}", said.trim())))
        }
    }
}
