//! The ways to other replicas: one connection each, which goes when nothing is relayed over it any more.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::error::Error as _;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tracing::{debug, info};

use crate::ids::ExecutorId;
use crate::proto::internal::relay_service_client::RelayServiceClient;

/// The most replicas that are connected to; runs of others are polled.
const MOST_PEERS: usize = 64;
/// The most runs that are relayed from one replica; others are polled. A connection takes 1,024 calls unless set.
const MOST_RUNS: usize = 1_000;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long the other side may be silent while something is relayed, and how long its sign of life may take then.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3));
/// How long a connection is kept over which nothing is relayed.
const IDLE: Duration = Duration::from_mins(1);
/// The waits before a replica that was not reached is tried again: doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(16));

/// Another replica: one start of the process, so that one that has started again at the same address is another one.
#[derive(Debug)]
pub(super) struct Peer {
    executor: ExecutorId,
    address: String,
    client: RelayServiceClient<Channel>,
    trouble: Mutex<Option<Trouble>>,
}

/// It was not reached the last time.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    until: Instant,
    wait: Duration,
}

impl Peer {
    fn new(executor: ExecutorId, address: &str) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEPALIVE.0)
            .keep_alive_timeout(KEEPALIVE.1)
            .tcp_nodelay(true);
        Ok(Self {
            executor,
            address: address.to_owned(),
            // Connects with the first call.
            client: RelayServiceClient::new(endpoint.connect_lazy()),
            trouble: Mutex::default(),
        })
    }

    /// Calls to it.
    pub(super) fn client(&self) -> RelayServiceClient<Channel> {
        self.client.clone()
    }

    /// Notes that it was reached.
    pub(super) fn answered(&self) {
        if self.trouble().take().is_some() {
            info!(executor.id = %self.executor, executor.address = self.address, "another replica is reached again");
        }
    }

    /// Notes that it was not reached, or lost: for a while it is not tried again.
    pub(super) fn failed(&self, status: &Status) {
        let mut trouble = self.trouble();
        let now = Instant::now();
        let wait = match *trouble {
            // Other calls that failed with the same one.
            Some(before) if now < before.until => return,
            Some(before) => (before.wait * 2).min(BACKOFF.1),
            None => BACKOFF.0,
        };
        let is_new = trouble.is_none();
        *trouble = Some(Trouble {
            until: now + wait,
            wait,
        });
        drop(trouble);
        let (executor, address) = (self.executor, &self.address);
        let cause = cause(status);
        if is_new {
            info!(executor.id = %executor, executor.address = address, cause, "another replica is not reached; what is watched of its runs is polled");
        } else {
            debug!(executor.id = %executor, executor.address = address, cause, "another replica is still not reached");
        }
    }

    fn is_in_trouble(&self) -> bool {
        self.trouble()
            .is_some_and(|trouble| Instant::now() < trouble.until)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        // Every change is complete before anything could panic.
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What went wrong, with all that lies behind it: a status alone says "transport error".
fn cause(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        // Writing to a text does not fail.
        write!(text, ": {error}").ok();
        source = error.source();
    }
    text
}

/// All that something is relayed from, or was lately.
#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: HashMap<ExecutorId, Known>,
}

#[derive(Debug)]
struct Known {
    peer: Arc<Peer>,
    used: Instant,
}

impl Known {
    /// How many runs are relayed from it.
    fn runs(&self) -> usize {
        Arc::strong_count(&self.peer) - 1
    }
}

impl Peers {
    /// The way to a replica, unless it was not reached just now, cannot be, or there are too many. What is relayed from
    /// it holds what this gives.
    pub(super) fn find(&mut self, executor: ExecutorId, address: &str) -> Option<Arc<Peer>> {
        let is_full = self.peers.len() >= MOST_PEERS;
        let known = match self.peers.entry(executor) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if is_full || address.is_empty() => return None,
            Entry::Vacant(place) => {
                let peer = Peer::new(executor, address)
                    .inspect_err(|error| {
                        debug!(executor.id = %executor, executor.address = address, error = error as &dyn std::error::Error, "this is no address");
                    })
                    .ok()?;
                place.insert(Known {
                    peer: Arc::new(peer),
                    used: Instant::now(),
                })
            }
        };
        known.used = Instant::now();
        (!known.peer.is_in_trouble() && known.runs() < MOST_RUNS).then(|| Arc::clone(&known.peer))
    }

    /// Closes connections over which nothing was relayed for a while.
    pub(super) fn close_idle(&mut self) {
        let now = Instant::now();
        self.peers.retain(|_, known| {
            if known.runs() > 0 {
                known.used = now;
            }
            now.duration_since(known.used) < IDLE
        });
    }

    /// Resolves when it is time to look for connections that are not used.
    pub(super) async fn idle(&self) {
        if self.peers.is_empty() {
            return std::future::pending().await;
        }
        tokio::time::sleep(IDLE / 2).await;
    }
}
