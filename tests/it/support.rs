//! What the tests work with. See each module for how to use it.

#![allow(dead_code, reason = "other tests need it")]

pub mod binary;
pub mod calls;
pub mod cluster;
pub mod database;
pub mod flows;
pub mod history;
pub mod http_bin;
pub mod pooler;
pub mod proxy;
pub mod server;
pub mod wire;

use std::time::Duration;

/// How long a test waits for what has to come before it is taken for broken.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The value of a future that has to come: panics when it takes longer than [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    bounded(PATIENCE, what, future).await
}

/// The value of a future that has to come within `limit`.
pub async fn bounded<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    // Boxed, for these futures become large.
    let value = tokio::time::timeout(limit, Box::pin(future)).await;
    value.unwrap_or_else(|_| panic!("{what}: not within {limit:?}"))
}
