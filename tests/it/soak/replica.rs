//! A process of the soak, with its way to the database: one fault at a time strikes it.

use std::net::SocketAddr;

use tokio::sync::Mutex;

use super::cluster::SoakCluster;
use crate::support::binary::Binary;
use crate::support::calls::Calls;
use crate::support::proxy::Proxy;

/// A replica, on one address for good.
#[derive(Debug)]
pub struct Replica {
    pub proxy: Proxy,
    /// Empty while it is being started again; locked by the fault that strikes it.
    pub binary: Mutex<Option<Binary>>,
    calls: Calls,
    address: SocketAddr,
}

/// The last lines of its log that are shown when something is wrong.
const TAIL: usize = 40;

impl Replica {
    pub async fn start(cluster: &SoakCluster) -> Self {
        let proxy = Proxy::start_to(cluster.socket()).await;
        let url = format!("--database-url={}", proxy.url(cluster.database()));
        let flags = ["--lease=2s", "--drain-timeout=5s", url.as_str()];
        let binary = Binary::start_on(cluster.database(), &flags).await;
        Self {
            calls: Calls::to(binary.address()),
            address: binary.address(),
            binary: Mutex::new(Some(binary)),
            proxy,
        }
    }

    pub fn calls(&self) -> Calls {
        self.calls.clone()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged last.
    pub async fn last_words(&self) -> String {
        let binary = self.binary.lock().await;
        let text = binary.as_ref().map(|binary| binary.log().text());
        let text = text.unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}
