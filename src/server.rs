//! The server: builds the parts, binds, serves, and drains when it is told to stop.
//!
//! It answers for its health from the moment it listens. Everything else waits until the parts are there: the database
//! is reached and its schema fits, the engine runs.

mod answer;
mod assembly;
mod bare_errors;
mod connections;
mod deadline;
mod gate;
mod gathered;
mod health;
mod outage;
pub mod probe;
mod reflection;
mod rpc_span;
pub mod signals;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;

pub use assembly::{About, Drain, Parts, store_settings};

use crate::config::Config;
use crate::config::listen;
use crate::egress;
use crate::provider;
use crate::secrets;
use crate::store;
use gate::Gate;
use health::Health;

/// The longest that connections may take to end once nothing is left to be told on them. Clients that hold a stream of
/// the health or reflection service open never end it, and some networks lose the end of a connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What part of the drain timeout connections may take to end.
const CLOSE_SHARE: u32 = 5;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It must not listen there.
    #[error(transparent)]
    Listen(#[from] listen::Error),
    /// It cannot listen there.
    #[error(transparent)]
    Bind(#[from] connections::Error),
    /// The protos cannot be described, which no build of this program should get as far as.
    #[error("reflection does not work")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The way out to the network cannot be opened.
    #[error(transparent)]
    Egress(#[from] egress::Error),
    /// What is set for the providers of models cannot be used.
    #[error(transparent)]
    Provider(#[from] provider::Error),
    /// The keys of secrets cannot be read.
    #[error(transparent)]
    SecretsKey(#[from] secrets::keys::Error),
    /// The operating system gives no threads.
    #[error("cannot start threads")]
    Threads(#[source] std::io::Error),
    /// What listens has failed.
    #[error("the server has failed")]
    Transport(#[from] tonic::transport::Error),
}

/// A server that serves.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    about: About,
    drain: Drain,
    drain_timeout: Duration,
    transport: Transport,
}

/// What listens, and the tokens that end it.
#[derive(Debug)]
struct Transport {
    address: SocketAddr,
    gate: Gate,
    health: Health,
    // Health says `NOT_SERVING`.
    draining: CancellationToken,
    // No new connections; old ones end with their last call.
    closing: CancellationToken,
    // No connections at all. Also when this is dropped, so that a start that fails leaves nothing behind.
    cut: DropGuard,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Server {
    /// Listens, builds the parts, and serves as soon as they are there.
    ///
    /// # Errors
    ///
    /// All kinds of [`Error`]; nothing is left running then.
    pub async fn start(config: &Config) -> Result<Self, Error> {
        Self::start_with(config, async |address| {
            Box::pin(assembly::assemble(config, address)).await
        })
        .await
    }

    async fn start_with(
        config: &Config,
        assemble: impl AsyncFnOnce(SocketAddr) -> Result<Parts, Error>,
    ) -> Result<Self, Error> {
        config.listen.check()?;
        let transport = Transport::open(config).await?;
        let parts = assemble(transport.address).await?;
        transport.gate.open(parts.routes, parts.database.clone());
        // Ends when the transport is drained.
        tokio::spawn({
            let (health, draining) = (transport.health.clone(), transport.draining.clone());
            async move { health.follow(parts.database, draining).await }
        });
        Ok(Self {
            address: transport.address,
            about: parts.about,
            drain: parts.drain,
            drain_timeout: config.execution.drain_timeout,
            transport,
        })
    }

    /// Where it listens: with the real port if it was to take any.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it works with.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Stops: health says `NOT_SERVING`, the engine ends or hands over what it does and the streams end with it, then the
    /// connections end; what is left of them after that is cut.
    ///
    /// Takes the drain timeout at most, whatever clients do. Dropping the future stops at once instead.
    ///
    /// # Errors
    ///
    /// [`Error::Transport`] where what listens had failed.
    pub async fn stop(self) -> Result<(), Error> {
        let closing = CLOSE_TIMEOUT.min(self.drain_timeout / CLOSE_SHARE);
        let grace = self.drain_timeout.saturating_sub(closing);
        let deadline = Instant::now() + grace;
        self.transport.draining.cancel();
        let drained = tokio::time::timeout_at(deadline, self.drain.run(grace)).await;
        if drained.is_err() {
            tracing::warn!("the drain timeout is over; what is left will be taken over");
        }
        self.transport.close(closing).await
    }
}

impl Transport {
    async fn open(config: &Config) -> Result<Self, Error> {
        let listener = connections::bind(config.listen.listen).await?;
        let address = listener
            .local_addr()
            .map_err(|source| connections::Error::Bind {
                address: config.listen.listen,
                source,
            })?;
        let health = Health::starting().await;
        let routes = Routes::new(health.service());
        let gate = Gate::new(reflection::routes(routes)?);

        let (closing, cut) = (CancellationToken::new(), CancellationToken::new());
        let limits = &config.connections;
        let incoming = connections::incoming(
            listener,
            usize::try_from(limits.max_connections).unwrap_or(usize::MAX),
            cut.clone(),
        );
        let serving = tonic::transport::Server::builder()
            .max_concurrent_streams(limits.max_streams_per_connection)
            .http2_max_header_list_size(limits.max_header_bytes)
            .http2_keepalive_interval(Some(limits.keepalive_interval))
            .http2_keepalive_timeout(Some(limits.keepalive_timeout))
            .serve_with_incoming_shutdown(gate.clone(), incoming, {
                let (closing, cut) = (closing.clone(), cut.clone());
                async move {
                    tokio::select! {
                        () = closing.cancelled() => {}
                        () = cut.cancelled() => {}
                    }
                }
            });
        Ok(Self {
            address,
            gate,
            health,
            draining: CancellationToken::new(),
            closing,
            cut: cut.drop_guard(),
            task: tokio::spawn(serving),
        })
    }

    async fn close(self, patience: Duration) -> Result<(), Error> {
        self.closing.cancel();
        let mut task = self.task;
        let in_order = tokio::time::timeout(patience, &mut task).await;
        let ended = if let Ok(ended) = in_order {
            ended
        } else {
            tracing::info!("cutting connections that do not end");
            drop(self.cut);
            task.await
        };
        match ended {
            Ok(served) => Ok(served?),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}
