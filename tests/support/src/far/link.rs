use std::fmt;
use std::time::Duration;

/// A link: how long, how fast, how lossy. Both ways are alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// What a packet and its answer spend on the link, at the least.
    pub round_trip: Duration,
    /// Bytes of IP packets a second, each way.
    pub rate: u64,
    /// The share of packets that get lost at random, each way, 0 to 1.
    pub loss: f64,
    /// The largest IP packet, in bytes.
    pub mtu: u32,
    /// What the losses follow from.
    pub seed: u64,
}

/// What went over a link, one way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// IP packets that came through.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that found the queue full.
    pub dropped: u64,
    /// Packets that got lost at random.
    pub lost: u64,
}

/// The least queue, as the time that its bytes take.
const LEAST_QUEUE: Duration = Duration::from_millis(20);

/// What TCP may send at first (RFC 6928): ten segments of 1460 bytes.
const FIRST_FLIGHT: u32 = 14_600;

/// The headers of IP and TCP, with timestamps.
const HEADERS: u32 = 52;

impl Link {
    /// A link without losses, for packets of up to 9000 bytes.
    pub const fn new(round_trip: Duration, rate: u64) -> Self {
        Self {
            round_trip,
            rate,
            loss: 0.0,
            mtu: 9000,
            seed: 1,
        }
    }

    /// The share of packets that get lost at random, each way, 0 to 1.
    pub const fn loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    /// The largest IP packet, in bytes. Small ones cost more CPU time.
    pub const fn mtu(self, mtu: u32) -> Self {
        Self { mtu, ..self }
    }

    /// What the losses follow from.
    pub const fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// How many bytes wait for the link at most, each way; what comes then is dropped. One round
    /// trip's worth, as routers are given, and 20 ms at the least.
    pub fn queue(&self) -> u64 {
        let time = self.round_trip.max(LEAST_QUEUE);
        let bytes = self.rate as f64 * time.as_secs_f64();
        (bytes as u64).max(u64::from(self.mtu) * 10)
    }

    /// How many segments TCP sends before the first acknowledgement: as many bytes as with usual
    /// packets, not as many segments.
    pub(super) fn first_segments(&self) -> u32 {
        let segment = self.mtu.saturating_sub(HEADERS).max(1);
        (FIRST_FLIGHT / segment).clamp(2, 10)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabits = self.rate as f64 * 8e-6;
        let queue = self.queue() as f64 * 1e-6;
        write!(to, "{megabits} Mbit/s, {:?} round trip, ", self.round_trip)?;
        match self.loss {
            0.0 => write!(to, "no loss")?,
            loss => write!(to, "{:.2} % loss each way", loss * 100.0)?,
        }
        write!(to, ", MTU {}, drop-tail queue of {queue:.1} MB", self.mtu)
    }
}
