//! A network far away: a namespace of its own behind a link with a round trip, a rate, a bounded
//! queue and losses. Loopback has none of these, and they are what TCP, HTTP/2 and a pool of
//! connections are made for; and the kernel's own means, `tc netem`, is not in every kernel.
//!
//! The link is a pair of TUN devices, one here and one there, and a relay between them that holds
//! each IP packet for its time. So what runs over it is the kernel's own TCP, with its windows,
//! slow start and congestion control. All of it belongs to this process alone: where the process
//! ends, however it does, the kernel removes the devices and the namespace.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use device::Device;
use relay::Relay;
use space::Space;

mod device;
mod link;
mod relay;
mod space;
mod wire;

pub use link::Link;
pub use link::Traffic;

/// A network behind a link. A drop ends the link and the devices, and with the last socket and
/// process in it, the network. What asks [`Far::address`] is to be ended before.
#[derive(Debug)]
pub struct Far {
    link: Link,
    space: Space,
    slot: u8,
    congestion: String,
    relays: [Running; 2],
}

/// A relay's thread, and what ends it when it is dropped.
#[derive(Debug)]
struct Running {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    traffic: Arc<relay::Total>,
}

/// What a TCP connection over the link may have under way, in bytes: enough for any of them, as
/// what serves to the world is set to.
const SEND_BUFFER: u64 = 64 << 20;

impl Far {
    /// Makes the network and the link.
    ///
    /// # Errors
    /// Without the right to (root has it), or without `/dev/net/tun` or the program `ip`.
    pub fn new(link: Link) -> io::Result<Self> {
        // On a thread of its own: an error ends a runtime, which no async caller may do.
        space::apart(|| Self::build(link))
    }

    fn build(link: Link) -> io::Result<Self> {
        let space = Space::new()?;
        let (near, slot) = Device::near()?;
        let there = space.inside(|| -> io::Result<_> {
            let far = Device::far()?;
            far.set_up([address(slot, 2), address(slot, 1)], link)?;
            Ok((far, tune()?))
        });
        let (far, congestion) = there??;
        near.set_up([address(slot, 1), address(slot, 2)], link)?;
        let there = Relay::new(link, 0, &far.tun);
        let back = Relay::new(link, 1, &near.tun);
        let relays = [Running::start(there, near)?, Running::start(back, far)?];
        Ok(Self {
            link,
            space,
            slot,
            congestion,
            relays,
        })
    }

    /// What servers in the far network listen on, and what near clients ask.
    pub fn address(&self) -> Ipv4Addr {
        address(self.slot, 2)
    }

    /// Where near clients seem to come from.
    pub fn near(&self) -> Ipv4Addr {
        address(self.slot, 1)
    }

    /// The link.
    pub fn link(&self) -> Link {
        self.link
    }

    /// How servers in the far network find how fast they may send (`tcp_congestion_control`).
    pub fn congestion(&self) -> &str {
        &self.congestion
    }

    /// Does `work` on a thread in the far network. The sockets that it makes, the threads and the
    /// processes that it starts are there, and stay there.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        self.space.inside(work)
    }

    /// The namespace, as a file that keeps it.
    pub fn namespace(&self) -> &File {
        self.space.file()
    }

    /// What went there so far.
    pub fn sent(&self) -> Traffic {
        self.relays[0].traffic.read()
    }

    /// What came from there so far.
    pub fn received(&self) -> Traffic {
        self.relays[1].traffic.read()
    }
}

impl Running {
    fn start(relay: Relay, device: Device) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let traffic = relay.total();
        let thread = std::thread::Builder::new()
            .name(String::from("far-relay"))
            .spawn(move || relay.run(device, stopped))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
            traffic,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Each link has four addresses of its own, of those for private use.
fn address(slot: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, slot, host)
}

/// Sets TCP as servers to the world do; returns the congestion control that is used.
fn tune() -> io::Result<String> {
    const FOLDER: &str = "/proc/sys/net/ipv4";
    let buffers = format!("4096 65536 {SEND_BUFFER}");
    std::fs::write(format!("{FOLDER}/tcp_wmem"), buffers)?;
    let congestion = format!("{FOLDER}/tcp_congestion_control");
    // Not in every kernel; then it is what the kernel has.
    let _ = std::fs::write(&congestion, "bbr");
    Ok(std::fs::read_to_string(congestion)?.trim().to_owned())
}
