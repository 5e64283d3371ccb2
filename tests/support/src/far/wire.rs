//! One way of a link, apart from where packets come from and go to: who is let on, and when each
//! arrives.

use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use super::Link;
use super::Traffic;
use crate::random::Random;

/// A packet on its way.
#[derive(Debug)]
pub(super) struct Packet {
    due: Instant,
    length: usize,
    buffer: Vec<u8>,
}

/// One way of a link.
#[derive(Debug)]
pub(super) struct Wire {
    link: Link,
    half: Duration,
    /// When the link has sent all that it let on.
    free_at: Instant,
    random: Random,
    packets: VecDeque<Packet>,
    /// Buffers to be used again.
    spare: Vec<Vec<u8>>,
    pub(super) traffic: Traffic,
}

impl Packet {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Wire {
    /// An empty one. `way` tells the two ways of a link apart.
    pub(super) fn new(link: Link, way: u64, now: Instant) -> Self {
        Self {
            half: link.round_trip / 2,
            free_at: now,
            random: Random::new(link.seed.wrapping_mul(2).wrapping_add(way)),
            packets: VecDeque::new(),
            spare: Vec::new(),
            traffic: Traffic::default(),
            link,
        }
    }

    /// A buffer for the largest packet.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        let length = self.link.mtu as usize;
        self.spare.pop().unwrap_or_else(|| vec![0; length])
    }

    /// Takes back a buffer that is not needed.
    pub(super) fn give_back(&mut self, buffer: Vec<u8>) {
        self.spare.push(buffer);
    }

    /// A packet, the first `length` bytes of `buffer`, comes to the link.
    pub(super) fn enter(&mut self, buffer: Vec<u8>, length: usize, now: Instant) {
        let start = self.free_at.max(now);
        let waits = (start - now).as_secs_f64() * self.link.rate as f64;
        if waits as u64 + length as u64 > self.link.queue() {
            self.traffic.dropped += 1;
            return self.give_back(buffer);
        }
        let takes = Duration::from_secs_f64(length as f64 / self.link.rate as f64);
        self.free_at = start + takes;
        // What gets lost has had its time on the link.
        let chance = (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        if chance < self.link.loss {
            self.traffic.lost += 1;
            return self.give_back(buffer);
        }
        self.packets.push_back(Packet {
            due: self.free_at + self.half,
            length,
            buffer,
        });
    }

    /// The next packet that has arrived; its buffer is to be given back.
    pub(super) fn leave(&mut self, now: Instant) -> Option<Packet> {
        if self.packets.front()?.due > now {
            return None;
        }
        let packet = self.packets.pop_front()?;
        self.traffic.packets += 1;
        self.traffic.bytes += packet.length as u64;
        Some(packet)
    }

    /// Takes back the buffer of a packet that is delivered.
    pub(super) fn done(&mut self, packet: Packet) {
        self.give_back(packet.buffer);
    }

    /// How long until the next packet arrives; `None` where none is on its way.
    pub(super) fn next(&self, now: Instant) -> Option<Duration> {
        let packet = self.packets.front()?;
        Some(packet.due.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 MB/s: a byte each microsecond.
    const LINK: Link = Link::new(Duration::from_millis(40), 1_000_000).mtu(1000);

    fn enter(wire: &mut Wire, length: usize, now: Instant) {
        let buffer = wire.buffer();
        wire.enter(buffer, length, now);
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn packets_take_their_time_one_after_the_other() {
        let start = Instant::now();
        let mut wire = Wire::new(LINK, 0, start);
        for _ in 0..3 {
            enter(&mut wire, 1000, start);
        }
        assert_eq!(wire.next(start), Some(ms(21)));
        assert!(wire.leave(start + ms(20)).is_none());
        assert!(wire.leave(start + ms(21)).is_some());
        assert!(wire.leave(start + ms(21)).is_none());
        assert_eq!(wire.next(start + ms(21)), Some(ms(1)));
        assert!(wire.leave(start + ms(30)).is_some() && wire.leave(start + ms(30)).is_some());
        // A link that had nothing to do does not catch up.
        enter(&mut wire, 500, start + ms(100));
        assert_eq!(
            wire.next(start + ms(100)),
            Some(Duration::from_micros(20_500))
        );
        let Traffic { packets, bytes, .. } = wire.traffic;
        assert_eq!((packets, bytes), (3, 3000));
    }

    #[test]
    fn a_full_queue_drops_what_comes() {
        let start = Instant::now();
        let mut wire = Wire::new(LINK, 0, start);
        assert_eq!(LINK.queue(), 40_000);
        for _ in 0..50 {
            enter(&mut wire, 1000, start);
        }
        assert_eq!(wire.traffic.dropped, 10);
        enter(&mut wire, 1000, start + ms(1));
        assert_eq!(wire.traffic.dropped, 10);
        enter(&mut wire, 1000, start + ms(1));
        assert_eq!(wire.traffic.dropped, 11);
    }

    #[test]
    fn losses_are_as_many_as_asked_for_and_the_same_again() {
        let lost = |seed: u64, way: u64| {
            let mut now = Instant::now();
            let mut wire = Wire::new(LINK.loss(0.1).seed(seed), way, now);
            let mut which = Vec::new();
            for number in 0..10_000 {
                now += ms(1);
                let before = wire.traffic.lost;
                enter(&mut wire, 1000, now);
                if wire.traffic.lost > before {
                    which.push(number);
                }
            }
            which
        };
        let first = lost(1, 0);
        assert!((900..1100).contains(&first.len()), "{}", first.len());
        assert!(first == lost(1, 0));
        assert!(first != lost(2, 0) && first != lost(1, 1));
    }
}
