//! Where the service listens, and whether it may.

use std::net::{IpAddr, SocketAddr};

use clap::Args;

/// The address of a service before anybody has configured one.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:50051";

/// Where the service listens.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Address")]
pub struct Listen {
    /// The address to listen on, IP:PORT; port 0 takes any that is free. Beyond loopback it needs --insecure
    #[arg(long, env = "SYNAPPS_LISTEN", value_name = "ADDR", default_value = DEFAULT_LISTEN)]
    pub listen: SocketAddr,

    /// Listens beyond loopback although nobody is asked who they are: whoever reaches the port may read, change and
    /// start everything
    #[arg(long, env = "SYNAPPS_INSECURE", value_parser = clap::builder::BoolishValueParser::new())]
    pub insecure: bool,

    /// The address by which other replicas reach this one, HOST:PORT. Unset: the one it listens on
    #[arg(long, env = "SYNAPPS_ADVERTISE", value_name = "ADDR")]
    pub advertise: Option<String>,
}

/// Why the service must not listen there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Others could reach it, and nobody has said that this is meant.
    #[error(
        "refusing to listen on {0}: it is not a loopback address, and as there is no access control yet, whoever \
         reaches it may read, change and start everything. Listen on 127.0.0.1 or [::1], or say --insecure \
         (SYNAPPS_INSECURE=true) where something else decides who reaches the port"
    )]
    Exposed(SocketAddr),
    /// Not HOST:PORT.
    #[error("--advertise (SYNAPPS_ADVERTISE) is HOST:PORT with a port of 1 to 65535, not {0:?}")]
    Advertise(String),
}

impl Listen {
    /// A service for this machine alone.
    #[must_use]
    pub fn on_loopback(listen: SocketAddr) -> Self {
        Self {
            listen,
            insecure: false,
            advertise: None,
        }
    }

    /// Makes sure that it is meant if others can reach the service, and that they are told an address.
    ///
    /// # Errors
    ///
    /// [`Error::Exposed`] and [`Error::Advertise`].
    pub fn check(&self) -> Result<(), Error> {
        if !is_loopback(self.listen.ip()) && !self.insecure {
            return Err(Error::Exposed(self.listen));
        }
        if let Some(address) = &self.advertise {
            let parts = address.rsplit_once(':');
            let valid = parts.is_some_and(|(host, port)| {
                !host.is_empty() && port.parse().is_ok_and(|port: u16| port > 0)
            });
            if !valid {
                return Err(Error::Advertise(address.clone()));
            }
        }
        Ok(())
    }
}

/// Where a client on the same machine reaches what listens on `address`: on loopback if that is everywhere.
#[must_use]
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(address: &str, insecure: bool) -> Listen {
        Listen {
            insecure,
            ..Listen::on_loopback(address.parse().unwrap())
        }
    }

    #[test]
    fn beyond_loopback_it_has_to_be_meant() {
        for address in ["127.0.0.1:50051", "127.8.9.1:1", "[::1]:0"] {
            assert_eq!(listen(address, false).check(), Ok(()));
        }
        for address in ["0.0.0.0:50051", "[::]:50051", "10.1.2.3:50051"] {
            assert_eq!(
                listen(address, false).check(),
                Err(Error::Exposed(address.parse().unwrap()))
            );
            assert_eq!(listen(address, true).check(), Ok(()));
        }
    }

    #[test]
    fn an_advertised_address_has_host_and_port() {
        for (address, valid) in [
            ("10.0.0.7:50051", true),
            ("synapps-0.synapps:50051", true),
            ("[fd00::7]:50051", true),
            ("synapps-0", false),
            (":50051", false),
            ("host:0", false),
            ("host:99999", false),
        ] {
            let listen = Listen {
                advertise: Some(address.to_owned()),
                ..listen("127.0.0.1:50051", false)
            };
            assert_eq!(listen.check().is_ok(), valid, "{address}");
        }
    }

    #[test]
    fn everywhere_is_reached_on_loopback() {
        for (from, to) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("10.0.0.1:1", "10.0.0.1:1"),
        ] {
            assert_eq!(reachable(from.parse().unwrap()), to.parse().unwrap());
        }
    }
}
