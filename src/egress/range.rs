//! Which addresses are on the public internet.
//!
//! By the IANA registries of special-purpose addresses (RFC 6890 and its successors), read strictly: of IPv6 only what
//! is handed out as global unicast counts as public, so that a range nobody knows yet is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 ranges that are not public: network, prefix length, what it is.
const REFUSED_V4: &[([u8; 4], u32, &str)] = &[
    ([0, 0, 0, 0], 8, "an unspecified address"),
    ([10, 0, 0, 0], 8, "a private address"),
    ([100, 64, 0, 0], 10, "an address behind carrier NAT"),
    ([127, 0, 0, 0], 8, "a loopback address"),
    (
        [168, 63, 129, 16],
        32,
        "a cloud provider's internal address",
    ),
    ([169, 254, 0, 0], 16, "a link-local address"),
    ([172, 16, 0, 0], 12, "a private address"),
    ([192, 0, 0, 0], 24, "a reserved address"),
    ([192, 0, 2, 0], 24, "a documentation address"),
    ([192, 88, 99, 0], 24, "a 6to4 relay address"),
    ([192, 168, 0, 0], 16, "a private address"),
    ([198, 18, 0, 0], 15, "a benchmarking address"),
    ([198, 51, 100, 0], 24, "a documentation address"),
    ([203, 0, 113, 0], 24, "a documentation address"),
    ([224, 0, 0, 0], 4, "a multicast address"),
    ([255, 255, 255, 255], 32, "the broadcast address"),
    ([240, 0, 0, 0], 4, "a reserved address"),
];

/// IPv6 ranges that are not public, the narrow ones before the wide ones that hold them.
const REFUSED_V6: &[([u16; 8], u32, &str)] = &[
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, "the unspecified address"),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, "a loopback address"),
    (
        [0, 0, 0, 0, 0, 0, 0, 0],
        96,
        "an IPv4-compatible address, which is obsolete",
    ),
    (
        [0x64, 0xff9b, 1, 0, 0, 0, 0, 0],
        48,
        "a local translation address",
    ),
    (
        [0x2001, 0, 0, 0, 0, 0, 0, 0],
        32,
        "a Teredo address, which hides an IPv4 address",
    ),
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, "a benchmarking address"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "a reserved address"),
    (
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0],
        32,
        "a documentation address",
    ),
    (
        [0x2002, 0, 0, 0, 0, 0, 0, 0],
        16,
        "a 6to4 address, which hides an IPv4 address",
    ),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "a documentation address"),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "a private address"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "a link-local address"),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "a site-local address"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "a multicast address"),
];

/// The prefix of addresses that a NAT64 gateway translates to the IPv4 address in their last 32 bits (RFC 6052).
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// The address that a connection to `ip` really goes to, as far as this machine decides it: an IPv4-mapped IPv6
/// address is the IPv4 address in it.
pub(super) fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Why `ip` is not on the public internet, as words that go after "is"; `None` if it is.
pub(super) fn find_refusal(ip: IpAddr) -> Option<&'static str> {
    match canonical(ip) {
        IpAddr::V4(ip) => find_v4(ip),
        IpAddr::V6(ip) => find_v6(ip),
    }
}

fn find_v4(ip: Ipv4Addr) -> Option<&'static str> {
    REFUSED_V4
        .iter()
        .find(|(network, prefix, _)| {
            let differing = ip.to_bits() ^ Ipv4Addr::from(*network).to_bits();
            differing.leading_zeros() >= *prefix
        })
        .map(|(_, _, what)| *what)
}

fn find_v6(ip: Ipv6Addr) -> Option<&'static str> {
    let segments = ip.segments();
    if segments[..6] == NAT64 {
        // Networks without IPv4 reach all of it through such addresses: what counts is where the gateway leads.
        let [.., a, b, c, d] = ip.octets();
        return find_v4(Ipv4Addr::new(a, b, c, d));
    }
    let special = REFUSED_V6.iter().find(|(network, prefix, _)| {
        let differing = ip.to_bits() ^ Ipv6Addr::from(*network).to_bits();
        differing.leading_zeros() >= *prefix
    });
    match special {
        Some((_, _, what)) => Some(what),
        None if segments[0] & 0xe000 == 0x2000 => None,
        None => Some("a reserved address"),
    }
}

#[cfg(test)]
mod tests {
    use super::find_refusal;

    #[test]
    fn addresses_that_are_not_public_are_refused() {
        let refused = [
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("10.0.0.1", "private"),
            ("100.64.0.1", "carrier"),
            ("100.100.100.200", "carrier"),
            ("100.127.255.255", "carrier"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("168.63.129.16", "cloud"),
            ("169.254.169.254", "link-local"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.192", "reserved"),
            ("192.0.2.1", "documentation"),
            ("192.88.99.1", "6to4"),
            ("192.168.1.1", "private"),
            ("198.18.0.1", "benchmarking"),
            ("198.19.255.255", "benchmarking"),
            ("198.51.100.7", "documentation"),
            ("203.0.113.7", "documentation"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::7f00:1", "IPv4-compatible"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:10.0.0.1", "private"),
            ("::ffff:0:127.0.0.1", "reserved"),
            ("64:ff9b::7f00:1", "loopback"),
            ("64:ff9b::a9fe:a9fe", "link-local"),
            ("64:ff9b:1::a00:1", "local translation"),
            ("100::1", "reserved"),
            ("2001::1", "Teredo"),
            ("2001:0:7f00:1::", "Teredo"),
            ("2001:2::1", "benchmarking"),
            ("2001:10::1", "reserved"),
            ("2001:20::1", "reserved"),
            ("2001:db8::1", "documentation"),
            ("2002:7f00:1::", "6to4"),
            ("2002:a00:1::1", "6to4"),
            ("3fff::1", "documentation"),
            ("4000::1", "reserved"),
            ("5f00::1", "reserved"),
            ("fc00::1", "private"),
            ("fd00:ec2::254", "private"),
            ("fe80::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
        ];

        for (ip, word) in refused {
            let why = find_refusal(ip.parse().unwrap());

            assert!(
                why.is_some_and(|why| why.contains(word)),
                "{ip} gives {why:?}"
            );
        }
    }

    #[test]
    fn public_addresses_are_not_refused() {
        let public = [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
        ];

        for ip in public {
            assert_eq!(find_refusal(ip.parse().unwrap()), None, "{ip}");
        }
    }
}
