//! One way of the link: takes packets from one device, and gives each to the other when it is due.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tokio_tun::Tun;

use super::Link;
use super::Traffic;
use super::device::Device;
use super::wire::Wire;
use crate::record::lock;

/// How often it looks for packets while some are on their way: as a network card gathers
/// interrupts, so that thousands of packets a second cost few wake-ups.
const TURN: Duration = Duration::from_micros(250);

/// The relay's threads come before what they are there to be measured with.
const PRIORITY: i32 = -10;

/// What went over it so far.
#[derive(Debug, Default)]
pub(super) struct Total(Mutex<Traffic>);

impl Total {
    pub(super) fn read(&self) -> Traffic {
        *lock(&self.0)
    }
}

/// One way of the link.
pub(super) struct Relay {
    wire: Wire,
    to: Arc<Tun>,
    total: Arc<Total>,
}

impl Relay {
    /// Ends at `to`. `way` tells the two ways of a link apart.
    pub(super) fn new(link: Link, way: u64, to: &Arc<Tun>) -> Self {
        Self {
            wire: Wire::new(link, way, Instant::now()),
            to: Arc::clone(to),
            total: Arc::default(),
        }
    }

    pub(super) fn total(&self) -> Arc<Total> {
        Arc::clone(&self.total)
    }

    /// Relays what comes out of `from`, until it is told to stop or a device fails.
    pub(super) fn run(mut self, from: Device, mut stop: oneshot::Receiver<()>) {
        // Where it may not, it goes without.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), PRIORITY);
        while matches!(stop.try_recv(), Err(TryRecvError::Empty)) {
            if self.take(&from.tun).is_err() {
                return;
            }
            self.deliver();
            *lock(&self.total.0) = self.wire.traffic;
            match self.wire.next(Instant::now()) {
                Some(time) => thread::sleep(time.min(TURN)),
                None => {
                    let mut buffer = self.wire.buffer();
                    let came = from.runtime.block_on(async {
                        tokio::select! {
                            came = from.tun.recv(&mut buffer) => came,
                            _ = &mut stop => Ok(0),
                        }
                    });
                    let Ok(length) = came else { return };
                    self.enter(buffer, length);
                }
            }
        }
    }

    /// Takes all packets that the device has.
    fn take(&mut self, from: &Tun) -> io::Result<()> {
        loop {
            let mut buffer = self.wire.buffer();
            match from.try_recv(&mut buffer) {
                Ok(length) => self.enter(buffer, length),
                Err(error) => {
                    self.wire.give_back(buffer);
                    return match error.kind() {
                        io::ErrorKind::WouldBlock => Ok(()),
                        _ => Err(error),
                    };
                }
            }
        }
    }

    /// Only IPv4 is let on: the kernel's own talk about IPv6 is none of this.
    fn enter(&mut self, buffer: Vec<u8>, length: usize) {
        match length > 0 && buffer[0] >> 4 == 4 {
            true => self.wire.enter(buffer, length, Instant::now()),
            false => self.wire.give_back(buffer),
        }
    }

    fn deliver(&mut self) {
        while let Some(packet) = self.wire.leave(Instant::now()) {
            // A device that takes nothing is one that is going.
            let _ = self.to.try_send(packet.bytes());
            self.wire.done(packet);
        }
    }
}
