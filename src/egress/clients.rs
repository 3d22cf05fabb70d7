//! The HTTP clients, each with its pool of connections.
//!
//! There are few: one for requests that may be repeated and one for those that may not, each again without
//! verification of certificates, and all of that again for each port that the policy names (because the resolver must
//! know the port, and the client does not tell it). All but the first are built when they are first needed.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect;
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

use super::resolver::Resolver;
use super::{CONNECT_TIMEOUT, Cause, Delivery, MAX_HEADER_BYTES, Policy, Verification};

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);
/// The most idle connections that are kept for one host.
const MAX_IDLE_PER_HOST: usize = 32;

/// The clients, and what they are built from.
pub(super) struct Clients {
    policy: Arc<Policy>,
    named_ports: BTreeSet<u16>,
    tls: ClientConfig,
    built: Mutex<HashMap<Kind, reqwest::Client>>,
}

/// What a client is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    /// A port that the policy names; `None` for all others.
    port: Option<u16>,
    verification: Verification,
    delivery: Delivery,
}

impl Clients {
    pub(super) fn new(policy: Policy) -> Result<Self, Cause> {
        let clients = Self {
            named_ports: policy.ports(),
            policy: Arc::new(policy),
            tls: tls_config()?,
            built: Mutex::default(),
        };
        // The usual one, so that what is wrong with all of them shows at the start.
        clients.get(443, Verification::Required, Delivery::Repeatable)?;
        Ok(clients)
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The client for requests to `port`, and to no other port.
    pub(super) fn get(
        &self,
        port: u16,
        verification: Verification,
        delivery: Delivery,
    ) -> Result<reqwest::Client, Cause> {
        let kind = Kind {
            port: self.named_ports.get(&port).copied(),
            verification,
            delivery,
        };
        // Whoever panicked with the lock in hand has changed nothing.
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = built.get(&kind) {
            return Ok(client.clone());
        }
        let client = self
            .build(kind)
            .map_err(|error| Cause::Setup(error.to_string()))?;
        built.insert(kind, client.clone());
        Ok(client)
    }

    fn build(&self, kind: Kind) -> reqwest::Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .dns_resolver(Arc::new(Resolver {
                policy: Arc::clone(&self.policy),
                port: kind.port,
            }))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE)
            .user_agent(concat!("synapps/", env!("CARGO_PKG_VERSION")));
        let mut tls = self.tls.clone();
        match kind.delivery {
            Delivery::Repeatable => {
                tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
                let header_bytes = u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX);
                builder = builder
                    .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
                    .http2_max_header_list_size(header_bytes);
            }
            Delivery::AtMostOnce => {
                tls.alpn_protocols = vec![b"http/1.1".to_vec()];
                builder = builder.pool_max_idle_per_host(0).http1_only();
            }
        }
        match kind.verification {
            Verification::Required => builder.tls_backend_preconfigured(tls),
            Verification::Skipped => builder.tls_danger_accept_invalid_certs(true),
        }
        .build()
    }
}

/// TLS with the certificates that the system trusts.
fn tls_config() -> Result<ClientConfig, Cause> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        warn!(%error, "some of the system's trusted certificates cannot be read");
    }
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        warn!("the system trusts no certificates: requests by https will fail");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Cause::Setup(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
