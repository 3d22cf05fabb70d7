//! Which hosts a secret may be sent to.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// The most rules of one secret.
pub const MAX_RULES: usize = 32;

/// A host that a secret may be sent to: `api.example.com`, `*.example.com` for all names below, `[::1]`, each with
/// `:port` if only that port is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    host: Host,
    below: bool,
    port: Option<u16>,
}

/// What is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no host: api.example.com, *.example.com and 10.0.0.1:8080 are")]
pub struct Malformed;

impl Rule {
    /// A rule that allows no host.
    #[must_use]
    pub fn none() -> Self {
        Self {
            host: Host::Domain(String::new()),
            below: false,
            port: None,
        }
    }

    /// Whether it allows the host and port of a URL.
    #[must_use]
    pub fn allows(&self, url: &Url) -> bool {
        let host = match (&self.host, url.host()) {
            (Host::Domain(known), Some(Host::Domain(host))) => {
                let host = host.trim_end_matches('.');
                if known.is_empty() {
                    false
                } else if self.below {
                    host.strip_suffix(known.as_str())
                        .is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
                } else {
                    host == known
                }
            }
            (Host::Ipv4(known), Some(Host::Ipv4(host))) => *known == host,
            (Host::Ipv6(known), Some(Host::Ipv6(host))) => *known == host,
            _ => false,
        };
        host && self
            .port
            .is_none_or(|port| url.port_or_known_default() == Some(port))
    }
}

impl FromStr for Rule {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (below, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        // The colons of an IPv6 address stand in brackets.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        if host.contains('*') {
            return Err(Malformed);
        }
        let host = Host::parse(host.trim_end_matches('.')).map_err(|_| Malformed)?;
        if below && !matches!(host, Host::Domain(_)) {
            return Err(Malformed);
        }
        let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port
            .map(|port| match port.parse() {
                Ok(1..) if is_number(port) => port.parse().map_err(|_| Malformed),
                _ => Err(Malformed),
            })
            .transpose()?;
        Ok(Self { host, below, port })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.below {
            f.write_str("*.")?;
        }
        write!(f, "{}", self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, url: &str) -> bool {
        let rule: Rule = rule.parse().unwrap();
        rule.allows(&url.parse().unwrap())
    }

    #[test]
    fn a_rule_allows_its_host_and_port() {
        assert!(allows("API.example.com", "https://api.example.com/x"));
        assert!(allows("api.example.com", "http://api.example.com.:81/"));
        assert!(allows("bücher.example", "https://xn--bcher-kva.example/"));
        assert!(allows("api.example.com:443", "https://api.example.com/"));
        assert!(!allows("api.example.com:443", "http://api.example.com/"));
        assert!(!allows(
            "api.example.com",
            "https://api.example.com.evil.example/"
        ));
        assert!(!allows("api.example.com", "https://a.api.example.com/"));
        assert!(allows("127.0.0.1:8080", "http://127.0.0.1:8080/"));
        assert!(allows("127.0.0.1", "http://0x7f.1:8080/"));
        assert!(allows("[::1]", "http://[0:0::1]:99/"));
        assert!(!allows("[::1]:98", "http://[::1]:99/"));
    }

    #[test]
    fn a_star_allows_all_names_below() {
        assert!(allows("*.example.com", "https://a.b.example.com/"));
        assert!(!allows("*.example.com", "https://example.com/"));
        assert!(!allows("*.example.com", "https://evilexample.com/"));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "a b",
            "https://a.example",
            "a.example/x",
            "a.example:0",
            "a.example:+80",
            "a.example:99999",
            "*.127.0.0.1",
            "a.*.example",
            "u@a.example",
            "a\0b",
        ] {
            let parsed: Result<Rule, _> = text.parse();
            assert!(parsed.is_err(), "{text:?}: {parsed:?}");
        }
    }

    #[test]
    fn a_rule_is_shown_as_it_is_read() {
        for text in [
            "api.example.com",
            "*.example.com:8080",
            "[::1]:80",
            "10.0.0.1",
        ] {
            let rule: Rule = text.parse().unwrap();
            assert_eq!(rule.to_string(), text);
        }
    }
}
