//! Asks a running service for its health: what `synapps health` does.

use std::time::Duration;

use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Why a service is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address of a server.
    #[error("{0:?} is not an address, HOST:PORT")]
    Address(String),
    /// Nobody answers there.
    #[error("nothing answers at {address}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The answer is an error.
    #[error("{address} answers {:?}: {}", .status.code(), .status.message())]
    Refused {
        /// Where.
        address: String,
        /// What.
        status: Box<tonic::Status>,
    },
    /// It answers that it does not serve.
    #[error("{service} at {address} is {state}")]
    NotServing {
        /// Where.
        address: String,
        /// The service that was asked for.
        service: String,
        /// What it is instead.
        state: &'static str,
    },
}

/// Succeeds if `service` (the empty name is the whole server) is SERVING at `address`.
///
/// # Errors
///
/// All kinds of [`Error`]; after `timeout` at the latest.
pub async fn probe(address: &str, service: &str, timeout: Duration) -> Result<(), Error> {
    let owned = || address.to_owned();
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| Error::Address(owned()))?
        .connect_timeout(timeout)
        .timeout(timeout);
    let channel = endpoint
        .connect()
        .await
        .map_err(|source| Error::Unreachable {
            address: owned(),
            source,
        })?;
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = HealthClient::new(channel)
        .check(request)
        .await
        .map_err(|status| Error::Refused {
            address: owned(),
            status: Box::new(status),
        })?;
    match answer.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        other => Err(Error::NotServing {
            address: owned(),
            service: if service.is_empty() {
                "the server"
            } else {
                service
            }
            .to_owned(),
            state: other.as_str_name(),
        }),
    }
}
