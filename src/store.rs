//! The store: the pool of connections to Postgres, and its [`Error`].
//!
//! Only the modules in here know SQL. A query takes its connection first and, where it serves a request, the namespace
//! second. Three kinds of connection exist: those of the pool, for requests; a [`Store::dedicated`] one, for work that
//! must not wait for the pool (lease renewal, LISTEN, migrations); and a [`lane::Lane`], for the journal, which must
//! know the exact SQLSTATE of a failure. The last two kinds keep a session and take the direct way to the database, if
//! it has one beside that of the pool.

pub mod admission;
pub mod approvals;
pub mod births;
pub mod changes;
pub mod children;
pub mod circumstances;
pub mod deletion;
mod dial;
mod error;
pub mod events;
pub mod executors;
pub mod flows;
pub mod flush;
pub mod inbox;
pub mod lane;
pub mod memories;
pub mod migrate;
pub mod notify;
pub mod partitions;
pub mod payloads;
mod pool;
pub mod preflight;
pub mod queue;
pub mod reopening;
pub mod revisions;
pub mod runs;
#[expect(missing_docs, reason = "generated")]
#[allow(
    clippy::wildcard_imports,
    reason = "generated; not every build complains"
)]
pub mod schema;
pub mod secrets;
pub mod signals;
pub mod standing;
pub mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::AsyncPgConnection;

use crate::ids::ExecutorId;

pub use self::error::{Class, Error, Failure, Result};
pub use self::pool::Connection;

/// How long the server may take to let us in for the first time, and to answer what it is.
const PREFLIGHT_TIMEOUT: Duration = Duration::from_secs(30);

/// How to reach the database, and what a connection may do.
#[derive(Clone)]
pub struct Settings {
    /// `postgres://user:password@host:port/database?sslmode=…`, as for libpq; see [`tls`] for the modes.
    pub url: String,
    /// The same database by a way that keeps sessions, where `url` leads through a pooler that does not; for all
    /// connections but those of the pool. `url` unless set.
    pub direct_url: Option<String>,
    /// The most connections of the pool: 16 unless set. Each journal lane and the renewal have one more each.
    pub pool_size: usize,
    /// How long a request waits for a connection to come free, or for a new one to be made: 5 s unless set.
    pub wait_timeout: Duration,
    /// How long the journal waits for the answer to a statement before it takes the connection for lost: 5 s unless
    /// set.
    pub answer_timeout: Duration,
    /// The longest that a statement may take: 30 s unless set.
    pub statement_timeout: Duration,
    /// The longest that a statement may wait for a lock: 10 s unless set.
    pub lock_timeout: Duration,
    /// The longest that a transaction may stay open without a statement: 30 s unless set.
    pub idle_in_transaction_timeout: Duration,
}

impl Settings {
    /// The settings for this URL, with everything else as it is unless set.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            direct_url: None,
            pool_size: 16,
            wait_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            idle_in_transaction_timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for Settings {
    /// Leaves out the URL, because it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("pool_size", &self.pool_size)
            .field("wait_timeout", &self.wait_timeout)
            .field("answer_timeout", &self.answer_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("lock_timeout", &self.lock_timeout)
            .field(
                "idle_in_transaction_timeout",
                &self.idle_in_transaction_timeout,
            )
            .finish_non_exhaustive()
    }
}

/// A handle to the database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    parts: Arc<Parts>,
}

struct Parts {
    settings: Settings,
    /// For the pool.
    dialer: Arc<dial::Dialer>,
    /// For connections that keep a session.
    direct: Arc<dial::Dialer>,
    pool: pool::Pool,
    server: preflight::Server,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("settings", &self.parts.settings)
            .field("server", &self.parts.server)
            .finish_non_exhaustive()
    }
}

/// What the server says of itself, if it is fit and does not take for ever to say so.
async fn preflight_of(dialer: &dial::Dialer) -> Result<preflight::Server> {
    let checking = Box::pin(preflight::check(dialer));
    tokio::time::timeout(PREFLIGHT_TIMEOUT, checking)
        .await
        .map_err(|_| Error::no_answer("the first connection"))?
}

impl Store {
    /// Makes the pool, after one connection has shown that the server is there, lets us in and is fit.
    ///
    /// Whether migrations are pending is a question of its own: [`migrate::check`].
    ///
    /// # Errors
    ///
    /// [`Error::Setup`], which says what to do; [`Error::Unavailable`] where only waiting helps.
    pub async fn connect(settings: &Settings) -> Result<Self> {
        let dialer = Arc::new(dial::Dialer::new(settings)?);
        let server = preflight_of(&dialer).await?;
        let direct = match &settings.direct_url {
            None => Arc::clone(&dialer),
            Some(url) => {
                let url = url.clone();
                let direct = Arc::new(dial::Dialer::new(&Settings {
                    url,
                    ..settings.clone()
                })?);
                preflight_of(&direct).await?;
                direct
            }
        };
        let pool = pool::build(Arc::clone(&dialer), settings);
        Ok(Self {
            parts: Arc::new(Parts {
                settings: settings.clone(),
                dialer,
                direct,
                pool,
                server,
            }),
        })
    }

    /// A store whose server is not there: for tests of what can do without.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        let settings = Settings::new("postgres://nobody@127.0.0.1:1/nothing");
        let dialer = Arc::new(dial::Dialer::new(&settings).expect("the URL is one"));
        Self {
            parts: Arc::new(Parts {
                pool: pool::build(Arc::clone(&dialer), &settings),
                settings,
                dialer: Arc::clone(&dialer),
                direct: dialer,
                server: preflight::Server {
                    version: String::new(),
                    database: "nothing".to_owned(),
                    address: "127.0.0.1:1".to_owned(),
                    tls: false,
                },
            }),
        }
    }

    /// A connection of the pool, which goes back to it on drop.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when none comes free in time or none can be made.
    pub async fn conn(&self) -> Result<Connection> {
        pool::get(&self.parts.pool).await
    }

    /// A connection of its own, outside the pool, with the same session settings.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when it cannot be made.
    pub async fn dedicated(&self) -> Result<AsyncPgConnection> {
        Box::pin(self.parts.direct.diesel()).await
    }

    /// A connection of its own for a journal lane, with the same session settings and generic plans.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when it cannot be made.
    pub async fn lane(&self) -> Result<lane::Lane> {
        Box::pin(lane::Lane::open(&self.parts.direct)).await
    }

    /// A connection of its own that hears what others have for this executor.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when it cannot be made.
    pub async fn listen(&self, executor: ExecutorId) -> Result<notify::Listener> {
        let direct = &self.parts.direct;
        Box::pin(direct.bounded(notify::Listener::open(direct, executor))).await
    }

    /// Uses no connection of the pool again that was made before now: where the database has been away, they may lead
    /// to a server that is not the primary any more.
    pub fn distrust_connections(&self) {
        self.parts.dialer.distrust();
    }

    /// Ends all connections of the pool and of lanes, with whatever is asked on them: the server does not answer, and
    /// nobody knows whether it ever will. New ones are made as they are needed.
    pub fn cut_connections(&self) {
        self.parts.dialer.cut_all();
        self.parts.direct.cut_all();
    }

    /// What the store was connected with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.parts.settings
    }

    /// What the server said of itself when the store was connected.
    #[must_use]
    pub fn server(&self) -> &preflight::Server {
        &self.parts.server
    }

    /// Ends the pool: connections that are out end on drop, and [`Store::conn`] fails from now on.
    pub fn close(&self) {
        self.parts.pool.close();
    }
}
