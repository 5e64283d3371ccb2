//! Kinds of addresses: which of them no stranger may make us dial.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

/// What an address is for (IANA's special-purpose address registries, RFC 6890).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// The Internet's.
    Public,
    /// This machine itself.
    Loopback,
    /// This network segment; clouds keep their metadata there, with credentials.
    LinkLocal,
    /// Private networks: RFC 1918, unique local (RFC 4193), shared with a carrier (RFC 6598).
    Private,
    /// No address: systems take it for this machine.
    Unspecified,
    /// Many at once.
    Multicast,
    /// Set aside: for documentation, benchmarks, protocols, or nothing yet.
    Reserved,
}

impl Kind {
    /// The kind of `address`. One that carries an IPv4 address within (mapped, 6to4, NAT64) is of
    /// that one's kind, for that one is where it leads.
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => match within(address) {
                Some(address) => of_v4(address),
                None => of_v6(address),
            },
        }
    }
}

/// Whether `address` is one of the Internet's, and leads to no network of our own.
pub fn is_public(address: IpAddr) -> bool {
    Kind::of(address) == Kind::Public
}

fn of_v4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        [0, ..] => Kind::Unspecified,
        [127, ..] => Kind::Loopback,
        [169, 254, ..] => Kind::LinkLocal,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Kind::Private,
        [224..=239, ..] => Kind::Multicast,
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 51, 100, _] | [203, 0, 113, _] => {
            Kind::Reserved
        }
        [198, 18..=19, ..] | [240..=255, ..] => Kind::Reserved,
        _ => Kind::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Kind {
    if address.is_unspecified() {
        return Kind::Unspecified;
    }
    if address.is_loopback() {
        return Kind::Loopback;
    }
    match address.segments() {
        [0xfe80..=0xfebf, ..] => Kind::LinkLocal,
        // The second: site-local, as private networks were numbered before; the third: NAT64 of
        // one's own (RFC 8215).
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] => Kind::Private,
        [0xff00..=0xffff, ..] => Kind::Multicast,
        // Teredo, benchmarks and identifiers (2001::/23), documentation.
        [0x2001, ..=0x1ff | 0xdb8, ..] | [0x3fff, ..=0xfff, ..] => Kind::Reserved,
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Reserved,
    }
}

/// The IPv4 address that an IPv6 address stands for, where it does.
fn within(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let (high, low) = match [a, b, c, d, e, f] {
        // IPv4-mapped (RFC 4291), and translated by SIIT (RFC 2765).
        [0, 0, 0, 0, 0, 0xffff] | [0, 0, 0, 0, 0xffff, 0] => (g, h),
        // IPv4-compatible (RFC 4291), but for :: and ::1.
        [0, 0, 0, 0, 0, 0] if g != 0 || h > 1 => (g, h),
        // NAT64 (RFC 6052).
        [0x64, 0xff9b, 0, 0, 0, 0] => (g, h),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "a public address",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Private => "a private address",
            Self::Unspecified => "an unspecified address",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_told_at_its_borders() {
        use Kind::{LinkLocal, Loopback, Multicast, Private, Public, Reserved, Unspecified};
        for (kind, addresses) in [
            (
                Public,
                "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 \
                 128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.255 \
                 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 \
                 2606:4700::1111 2001:200:: 2001:db7:: 2001:db9:: 2003:: 3fff:1000::",
            ),
            (Loopback, "127.0.0.1 127.255.255.254 ::1"),
            (
                LinkLocal,
                "169.254.0.0 169.254.169.254 169.254.255.255 fe80::1 febf:ffff::",
            ),
            (
                Private,
                "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255 \
                 100.64.0.0 100.100.100.200 100.127.255.255 fc00:: fd00:ec2::254 fdff:: fec0::1 \
                 feff:: 64:ff9b:1::1",
            ),
            (Unspecified, "0.0.0.0 0.1.2.3 ::"),
            (Multicast, "224.0.0.1 239.255.255.255 ff02::1 ffff::"),
            (
                Reserved,
                "192.0.0.192 192.0.2.1 192.88.99.1 198.18.0.0 198.19.255.255 198.51.100.1 \
                 203.0.113.1 240.0.0.0 255.255.255.255 2001:: 2001:1ff:: 2001:db8::1 3fff:: \
                 3fff:fff:: 100::1 5f00::1 4000::",
            ),
        ] {
            for address in addresses.split_whitespace() {
                assert_eq!(Kind::of(address.parse().unwrap()), kind, "{address}");
            }
        }
    }

    #[test]
    fn what_stands_for_an_ipv4_address_is_of_its_kind() {
        for (v4, kind) in [
            ([127, 0, 0, 1], Kind::Loopback),
            ([169, 254, 169, 254], Kind::LinkLocal),
            ([10, 1, 2, 3], Kind::Private),
            ([100, 64, 0, 1], Kind::Private),
            ([0, 0, 0, 2], Kind::Unspecified),
            ([1, 1, 1, 1], Kind::Public),
        ] {
            let [a, b, c, d] = v4;
            let hex = format!("{a:02x}{b:02x}:{c:02x}{d:02x}");
            for address in [
                format!("::ffff:{a}.{b}.{c}.{d}"),
                format!("::ffff:0:{a}.{b}.{c}.{d}"),
                format!("::{a}.{b}.{c}.{d}"),
                format!("64:ff9b::{a}.{b}.{c}.{d}"),
                format!("2002:{hex}::1"),
            ] {
                assert_eq!(Kind::of(address.parse().unwrap()), kind, "{address}");
            }
        }
    }
}
