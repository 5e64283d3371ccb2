use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::time::Duration;
use std::time::Instant;

use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::memory::Key;

/// How often logins may be wrong.
///
/// An address has [`OF_ADDRESS`] tries, a name has [`OF_NAME`] from all addresses together. Where
/// a name has none left, each address still has a few of its own ([`OF_BOTH`]): whoever knows the
/// password gets in, however many others guess it elsewhere. Tries come back with time, and one
/// that was right is given back at once.
#[derive(Debug)]
pub(super) struct Limits {
    addresses: Buckets<IpAddr>,
    names: Buckets<Key>,
    both: Buckets<(IpAddr, Key)>,
}

/// Tries of one address: so many at once, and another one after each pause.
const OF_ADDRESS: (u32, Duration) = (30, Duration::from_secs(1));
/// Tries of one name.
const OF_NAME: (u32, Duration) = (30, Duration::from_secs(1));
/// Tries of one address with one name that has no others left.
const OF_BOTH: (u32, Duration) = (5, Duration::from_secs(10));
/// How many addresses, names and pairs are known at most; the least recently used go first.
const MOST: u64 = 16 << 10;

/// A try that was taken.
#[derive(Debug)]
pub(super) struct Chance<'l> {
    limits: &'l Limits,
    address: IpAddr,
    name: Option<(Key, Source)>,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Name,
    Both,
}

/// Leaky buckets (GCRA): of each is known when it will be empty again.
struct Buckets<K: Hash + Eq> {
    empty_at: Cache<K, Instant>,
    room: Duration,
    try_: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            addresses: Buckets::new(OF_ADDRESS),
            names: Buckets::new(OF_NAME),
            both: Buckets::new(OF_BOTH),
        }
    }
}

impl Limits {
    /// Whether there would be a try; else, when there will be one.
    pub(super) fn peek(&self, client: IpAddr, name: Option<&Key>) -> Result<(), Duration> {
        let (now, address) = (Instant::now(), one_client(client));
        self.addresses.peek(&address, now)?;
        let Some(name) = name else { return Ok(()) };
        let both = |_| self.both.peek(&(address, *name), now);
        self.names.peek(name, now).or_else(both)
    }

    /// Takes a try; where there is none, says when there will be.
    pub(super) fn take(&self, client: IpAddr, name: Option<&Key>) -> Result<Chance<'_>, Duration> {
        self.take_at(client, name, Instant::now())
    }

    fn take_at(
        &self,
        client: IpAddr,
        name: Option<&Key>,
        now: Instant,
    ) -> Result<Chance<'_>, Duration> {
        let address = one_client(client);
        self.addresses.take(address, now)?;
        let taken = |name: &Key| match self.names.take(*name, now) {
            Ok(()) => Ok((*name, Source::Name)),
            Err(_) => match self.both.take((address, *name), now) {
                Ok(()) => Ok((*name, Source::Both)),
                Err(pause) => {
                    self.addresses.give_back(address);
                    Err(pause)
                }
            },
        };
        Ok(Chance {
            limits: self,
            address,
            name: name.map(taken).transpose()?,
        })
    }
}

impl Chance<'_> {
    /// It was right: it doesn't count.
    pub(super) fn give_back(self) {
        self.limits.addresses.give_back(self.address);
        match self.name {
            Some((name, Source::Name)) => self.limits.names.give_back(name),
            Some((name, Source::Both)) => self.limits.both.give_back((self.address, name)),
            None => {}
        }
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Buckets<K> {
    fn new((tries, pause): (u32, Duration)) -> Self {
        let room = pause * tries;
        let empty_at = Cache::builder()
            .max_capacity(MOST)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(room + pause);
        Self {
            empty_at: empty_at.build(),
            room,
            try_: pause,
        }
    }

    fn peek(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let empty_at = self.empty_at.get(key).unwrap_or(now);
        self.filled(empty_at, now).map(drop)
    }

    fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut outcome = Ok(());
        self.empty_at.entry(key).and_compute_with(|bucket| {
            let empty_at = bucket.map_or(now, moka::Entry::into_value);
            match self.filled(empty_at, now) {
                Ok(fuller) => Op::Put(fuller),
                Err(pause) => {
                    outcome = Err(pause);
                    Op::Nop
                }
            }
        });
        outcome
    }

    /// When the bucket will be empty with one more try in it; where that is too much, how long
    /// until it is not.
    fn filled(&self, empty_at: Instant, now: Instant) -> Result<Instant, Duration> {
        let fuller = empty_at.max(now) + self.try_;
        match fuller.checked_duration_since(now + self.room) {
            Some(pause) if !pause.is_zero() => Err(pause),
            _ => Ok(fuller),
        }
    }

    fn give_back(&self, key: K) {
        self.empty_at.entry(key).and_compute_with(|bucket| {
            let empty_at = bucket.map(moka::Entry::into_value);
            match empty_at.and_then(|at| at.checked_sub(self.try_)) {
                Some(earlier) => Op::Put(earlier),
                None => Op::Nop,
            }
        });
    }
}

impl<K: Hash + Eq> fmt::Debug for Buckets<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").finish_non_exhaustive()
    }
}

/// What counts as one client: an IPv4 address, or the /64 of an IPv6 address, of which whoever has
/// one has all (RFC 6177).
pub fn one_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Key = [1; 32];

    fn address(number: u8) -> IpAddr {
        [10, 0, 0, number].into()
    }

    /// How many tries there are now.
    fn tries(limits: &Limits, client: IpAddr, name: Option<&Key>, now: Instant) -> usize {
        (0..1000)
            .take_while(|_| limits.take_at(client, name, now).is_ok())
            .count()
    }

    #[test]
    fn tries_come_back_with_time() {
        let (limits, now) = (Limits::default(), Instant::now());
        assert_eq!(tries(&limits, address(1), None, now), 30);
        let pause = limits.take_at(address(1), None, now).unwrap_err();
        assert_eq!(pause, Duration::from_secs(1));
        let later = now + Duration::from_secs(3);
        assert_eq!(tries(&limits, address(1), None, later), 3);
        assert_eq!(tries(&limits, address(2), None, now), 30);
    }

    #[test]
    fn what_was_right_does_not_count() {
        let (limits, now) = (Limits::default(), Instant::now());
        for _ in 0..100 {
            let chance = limits.take_at(address(1), Some(&NAME), now);
            chance.unwrap().give_back();
        }
        assert_eq!(tries(&limits, address(1), Some(&NAME), now), 30);
    }

    #[test]
    fn a_name_that_many_guess_leaves_each_address_a_few_tries() {
        let (limits, now) = (Limits::default(), Instant::now());
        assert_eq!(tries(&limits, address(1), Some(&NAME), now), 30);
        for number in 2..200 {
            assert_eq!(tries(&limits, address(number), Some(&NAME), now), 5);
        }
        // What was refused for the name's sake costs the address nothing.
        assert_eq!(tries(&limits, address(2), Some(&[2; 32]), now), 25);
        assert!(limits.peek(address(2), Some(&NAME)).is_err());
        assert!(limits.peek(address(201), Some(&NAME)).is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let parse = |text: &str| one_client(text.parse().unwrap());
        assert_eq!(parse("2001:db8:1:2:3::4"), parse("2001:db8:1:2::9"));
        assert_ne!(parse("2001:db8:1:2::"), parse("2001:db8:1:3::"));
        assert_eq!(parse("::ffff:10.0.0.1"), address(1));
        assert_ne!(parse("10.0.0.1"), parse("10.0.0.2"));
    }

    #[test]
    fn memory_is_bounded() {
        let (limits, now) = (Limits::default(), Instant::now());
        for number in 0..40_000_u32 {
            drop(limits.take_at(number.to_be_bytes().into(), None, now));
        }
        limits.addresses.empty_at.run_pending_tasks();
        assert!(limits.addresses.empty_at.entry_count() <= MOST);
    }
}
