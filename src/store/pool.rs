//! The pool: connections for requests, made as they are needed and kept.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use deadpool::managed::{self, Metrics, Object, PoolError, RecycleError, RecycleResult};
use deadpool::{Runtime, managed::TimeoutType};
use diesel_async::{AsyncConnection, AsyncPgConnection, TransactionManager};

use super::dial::{Dialer, Line};
use super::{Error, Result, Settings};

/// Connections by deadpool.
pub(super) type Pool = managed::Pool<Manager>;

/// A connection of the pool, which goes back to it on drop.
///
/// One that was dropped within a transaction (because its caller left) is ended instead.
pub struct Connection(Object<Manager>);

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Deref for Connection {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        &self.0.diesel
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.0.diesel
    }
}

/// Makes connections and tells which of them can be used again.
#[derive(Debug)]
pub(super) struct Manager {
    dialer: Arc<Dialer>,
}

/// A connection, and whether it has ended: known without asking the server, because a task of ours reads its socket.
pub(super) struct Pooled {
    diesel: AsyncPgConnection,
    line: Line,
}

impl managed::Manager for Manager {
    type Type = Pooled;
    type Error = Error;

    async fn create(&self) -> Result<Pooled> {
        // Boxed: connecting is a large state, which each request would carry though hardly any connects.
        let (diesel, line) = Box::pin(self.dialer.watched()).await?;
        Ok(Pooled { diesel, line })
    }

    async fn recycle(&self, pooled: &mut Pooled, _: &Metrics) -> RecycleResult<Error> {
        if !self.dialer.trusts(&pooled.line) {
            return Err(RecycleError::message(
                "the connection has ended, or is not trusted any more",
            ));
        }
        // A caller that left in mid-transaction leaves it open, with its locks: only the end of the session frees them.
        if <AsyncPgConnection as AsyncConnection>::TransactionManager::is_broken_transaction_manager(
            &mut pooled.diesel,
        ) {
            return Err(RecycleError::message("a transaction was left open"));
        }
        Ok(())
    }
}

pub(super) fn build(dialer: Arc<Dialer>, settings: &Settings) -> Pool {
    Pool::builder(Manager { dialer })
        .max_size(settings.pool_size)
        .wait_timeout(Some(settings.wait_timeout))
        .create_timeout(Some(settings.wait_timeout))
        .recycle_timeout(Some(settings.wait_timeout))
        .runtime(Runtime::Tokio1)
        .build()
        .expect("deadpool refuses timeouts only without a runtime")
}

pub(super) async fn get(pool: &Pool) -> Result<Connection> {
    pool.get()
        .await
        .map(Connection)
        .map_err(|error| match error {
            PoolError::Backend(error) => error,
            PoolError::Timeout(TimeoutType::Wait) => Error::unavailable(format!(
                "all {} connections of the pool are in use",
                pool.status().max_size
            )),
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
                Error::unavailable("the server took too long to accept a connection")
            }
            PoolError::Closed => Error::unavailable("the pool is closed: the service is stopping"),
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Error::unavailable(error.to_string())
            }
        })
}
