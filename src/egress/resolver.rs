//! From names to addresses that may be connected to.
//!
//! The HTTP client asks this resolver and connects to what it gives, so there is no second resolution between check
//! and connection that could answer otherwise. Addresses written in a URL never come here: see [`super::exchange`].

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tracing::info;

use super::Policy;

/// Resolves names by the system and keeps the addresses that the policy allows.
#[derive(Debug)]
pub(super) struct Resolver {
    pub(super) policy: Arc<Policy>,
    /// The only port that is asked for, if it is a port that rules name. The client does not tell it.
    pub(super) port: Option<u16>,
}

/// Why a name gives no address to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// It has none.
    #[error("the name has no address")]
    NotFound,
    /// All that it has are refused.
    #[error("the name leads to no address that is allowed")]
    Refused,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.policy);
        let port = self.port;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0))
                .await
                .map_err(|_| Failure::NotFound)?;
            let allowed = choose(&policy, port, name.as_str(), found)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// The addresses among `found` that may be connected to.
fn choose(
    policy: &Policy,
    port: Option<u16>,
    name: &str,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, Failure> {
    let mut failure = Failure::NotFound;
    let mut allowed = Vec::new();
    for address in found {
        match policy.find_refusal(address.ip(), port) {
            None => allowed.push(address),
            Some(why) => {
                // For the operator alone: whoever wrote the flow is not told what the names in here stand for.
                info!(egress.host = name, egress.address = %address.ip(), "address refused: it is {why}");
                failure = Failure::Refused;
            }
        }
    }
    if allowed.is_empty() {
        return Err(failure);
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use super::{Failure, choose};

    fn choose_from(
        policy: &str,
        port: Option<u16>,
        found: &[&str],
    ) -> Result<Vec<String>, Failure> {
        let found = found.iter().map(|text| text.parse().unwrap());
        let chosen = choose(&policy.parse().unwrap(), port, "name.test", found)?;
        Ok(chosen.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn of_a_names_addresses_only_the_allowed_are_given() {
        let found = ["10.0.0.1:0", "1.1.1.1:0", "[::1]:0", "[2606:4700::1111]:0"];

        let chosen = choose_from("", None, &found).unwrap();

        assert_eq!(chosen, ["1.1.1.1:0", "[2606:4700::1111]:0"]);
    }

    #[test]
    fn a_name_with_refused_addresses_only_is_refused() {
        let found = ["127.0.0.1:0", "[::ffff:10.0.0.1]:0"];

        assert_eq!(choose_from("", None, &found), Err(Failure::Refused));
        assert_eq!(choose_from("", None, &[]), Err(Failure::NotFound));
    }

    #[test]
    fn a_rule_for_one_port_counts_only_where_that_port_is_asked_for() {
        let rule = "127.0.0.1/32:8080";

        assert!(choose_from(rule, Some(8080), &["127.0.0.1:0"]).is_ok());
        assert_eq!(
            choose_from(rule, None, &["127.0.0.1:0"]),
            Err(Failure::Refused)
        );
    }
}
