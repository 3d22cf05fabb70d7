//! What the operator opens beside the public internet.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::range;

/// Where requests may go: everywhere public, and where a rule allows it.
///
/// Read from text (`SYNAPPS_EGRESS_ALLOW`): rules with commas between them, blanks around them ignored; empty text is
/// no rule at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What is open although it is not public.
    pub allow: Vec<AllowRule>,
}

/// A network that is open although it is not public, on one port or on all.
///
/// Read from text as `CIDR[:port]`: `127.0.0.0/8`, `127.0.0.1/32:8080`, `::1/128`, `[::1]/128:8080`. A single address
/// needs no prefix length (`127.0.0.1:8080`, `[::1]:8080`); bits of the address beyond the prefix are ignored. An IPv4
/// rule holds for IPv4-mapped IPv6 addresses too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowRule {
    network: IpNet,
    port: Option<u16>,
}

/// Text that is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule:?} is not CIDR[:port], such as 127.0.0.0/8 or [::1]/128:8080: {why}")]
pub struct ParseError {
    rule: String,
    why: &'static str,
}

impl Policy {
    /// Lets requests go anywhere.
    pub(super) fn everything() -> Self {
        let networks = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
        let allow = networks.map(|network| AllowRule {
            network,
            port: None,
        });
        Self {
            allow: allow.to_vec(),
        }
    }

    /// Why a connection to `ip` is refused, as words that go after "is"; `None` if it is allowed.
    ///
    /// Without a `port` only the rules count that hold for all ports.
    pub(super) fn find_refusal(&self, ip: IpAddr, port: Option<u16>) -> Option<&'static str> {
        let why = range::find_refusal(ip)?;
        let allowed = self.allow.iter().any(|rule| rule.matches(ip, port));
        (!allowed).then_some(why)
    }

    /// The ports that rules name.
    pub(super) fn ports(&self) -> BTreeSet<u16> {
        self.allow.iter().filter_map(|rule| rule.port).collect()
    }
}

impl FromStr for Policy {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let allow = text
            .split(',')
            .map(str::trim)
            .filter(|rule| !rule.is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self { allow })
    }
}

impl AllowRule {
    fn matches(&self, ip: IpAddr, port: Option<u16>) -> bool {
        self.network.contains(&range::canonical(ip))
            && self.port.is_none_or(|own| Some(own) == port)
    }
}

impl FromStr for AllowRule {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fail = |why| ParseError {
            rule: text.to_owned(),
            why,
        };
        let (address, prefix, port) = split(text).ok_or_else(|| fail("a bracket is not closed"))?;
        let address: IpAddr = address
            .parse()
            .map_err(|_| fail("the address is no IPv4 or IPv6 address"))?;
        if range::canonical(address) != address {
            return Err(fail("write an IPv4-mapped address as IPv4"));
        }
        let network = match prefix {
            None => IpNet::from(address),
            Some(prefix) => prefix
                .parse()
                .ok()
                .and_then(|prefix| IpNet::new(address, prefix).ok())
                .ok_or_else(|| fail("the prefix length is no number up to 32, for IPv6 128"))?
                .trunc(),
        };
        let port = match port.map(str::parse) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return Err(fail("the port is no number from 1 to 65535")),
        };
        Ok(Self { network, port })
    }
}

/// Splits a rule into address, prefix length and port, of which nothing is checked yet.
fn split(rule: &str) -> Option<(&str, Option<&str>, Option<&str>)> {
    if let Some(rest) = rule.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        return match rest.strip_prefix('/') {
            Some(rest) => Some(match rest.split_once(':') {
                Some((prefix, port)) => (address, Some(prefix), Some(port)),
                None => (address, Some(rest), None),
            }),
            None if rest.is_empty() => Some((address, None, None)),
            None => Some((
                address,
                None,
                Some(rest.strip_prefix(':').unwrap_or_default()),
            )),
        };
    }
    Some(match rule.split_once('/') {
        Some((address, rest)) => match rest.split_once(':') {
            Some((prefix, port)) => (address, Some(prefix), Some(port)),
            None => (address, Some(rest), None),
        },
        // Of an IPv6 address without brackets every colon is its own.
        None if rule.matches(':').count() == 1 => {
            let (address, port) = rule.split_once(':')?;
            (address, None, Some(port))
        }
        None => (rule, None, None),
    })
}

impl fmt::Display for AllowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.network, self.port) {
            (network, None) => write!(f, "{network}"),
            (IpNet::V4(network), Some(port)) => write!(f, "{network}:{port}"),
            (IpNet::V6(network), Some(port)) => {
                write!(f, "[{}]/{}:{port}", network.addr(), network.prefix_len())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AllowRule, Policy};

    fn refuses(policy: &Policy, ip: &str, port: u16) -> bool {
        policy
            .find_refusal(ip.parse().unwrap(), Some(port))
            .is_some()
    }

    #[test]
    fn rules_are_read_in_all_their_forms() {
        let forms = [
            ("127.0.0.0/8", "127.0.0.0/8"),
            ("127.0.0.1/8", "127.0.0.0/8"),
            ("127.0.0.1/32:8080", "127.0.0.1/32:8080"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("127.0.0.1:8080", "127.0.0.1/32:8080"),
            ("::1", "::1/128"),
            ("::1/128", "::1/128"),
            ("::1/128:8080", "[::1]/128:8080"),
            ("[::1]", "::1/128"),
            ("[::1]:8080", "[::1]/128:8080"),
            ("[::1]/128", "::1/128"),
            ("[fd00::1]/8:443", "[fd00::]/8:443"),
        ];

        for (text, expected) in forms {
            let rule: AllowRule = text.parse().unwrap();

            assert_eq!(rule.to_string(), expected);
            assert_eq!(expected.parse(), Ok(rule));
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_with_the_rule_and_the_reason() {
        let wrong = [
            ("localhost", "address"),
            ("127.0.0.1/33", "prefix"),
            ("127.0.0.1/", "prefix"),
            ("127.0.0.1/8:0", "port"),
            ("127.0.0.1/8:65536", "port"),
            ("127.0.0.1:http", "port"),
            ("[::1", "bracket"),
            ("[::1]8080", "port"),
            ("::ffff:127.0.0.1/128", "IPv4-mapped"),
            ("*", "address"),
        ];

        for (text, word) in wrong {
            let error = format!("10.0.0.0/8, {text}").parse::<Policy>().unwrap_err();

            let message = error.to_string();
            assert!(message.contains(text), "{message}");
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn without_rules_nothing_but_the_public_is_open() {
        let policy: Policy = " , ".parse().unwrap();

        assert_eq!(policy, Policy::default());
        assert!(refuses(&policy, "127.0.0.1", 80));
        assert!(!refuses(&policy, "1.1.1.1", 80));
    }

    #[test]
    fn a_rule_opens_its_network_on_its_port_and_nothing_else() {
        let policy: Policy = "127.0.0.0/8:8080, fd00::/8".parse().unwrap();

        assert!(!refuses(&policy, "127.0.0.1", 8080));
        assert!(!refuses(&policy, "::ffff:127.0.0.1", 8080));
        assert!(refuses(&policy, "127.0.0.1", 8081));
        assert!(refuses(&policy, "::1", 8080));
        assert!(!refuses(&policy, "fd12::1", 1));
        assert!(
            policy
                .find_refusal("127.0.0.1".parse().unwrap(), None)
                .is_some()
        );
    }
}
