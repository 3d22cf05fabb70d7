//! What serves behind the transport, put together: the database, the engine, the services.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tonic::service::Routes;

use super::Error;
use crate::config::{Config, Migrate};
use crate::store::{self, Store, migrate};

/// What serves behind the transport.
#[derive(Debug)]
pub struct Parts {
    /// The services.
    pub routes: Routes,
    /// Whether the database can be reached.
    pub database: watch::Receiver<bool>,
    /// Ends it all.
    pub drain: Drain,
    /// What it works with.
    pub about: About,
}

/// What a server works with: for the one line that it logs at its start.
#[derive(Clone, Debug)]
pub struct About {
    /// The newest migration that the database has had.
    pub schema: String,
    /// The version of Postgres, as it prints it.
    pub postgres: String,
}

/// How the parts end: given the time that they have, until all that can be ended or handed over is.
pub struct Drain(DrainFn);

type DrainFn = Box<dyn FnOnce(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

impl Drain {
    /// Ends the parts by what `drain` does.
    pub fn new<F>(drain: impl FnOnce(Duration) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Box::new(move |timeout| Box::pin(drain(timeout))))
    }

    /// Ends the parts.
    pub(super) async fn run(self, timeout: Duration) {
        (self.0)(timeout).await;
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drain")
    }
}

/// Connects to the database, brings its schema up to date where that is wanted, and starts what serves.
pub(super) async fn assemble(config: &Config) -> Result<Parts, Error> {
    let store =
        Store::connect(&store_settings(&config.database.url, &config.database.pool)).await?;
    let schema = match config.database.migrate {
        Migrate::Auto => {
            let applied = migrate::run(&store).await?;
            for version in &applied {
                tracing::info!(migration.version = %version, "migrated");
            }
            migrate::status(&store).await?
        }
        Migrate::Off => migrate::check(&store).await?,
    };
    let about = About {
        schema: schema.applied.last().cloned().unwrap_or_default(),
        postgres: store.server().version.clone(),
    };
    let (_, database) = watch::channel(true);
    Ok(Parts {
        routes: Routes::default(),
        database,
        drain: Drain::new(|_| async move { store.close() }),
        about,
    })
}

/// How the store is to use the database.
#[must_use]
pub fn store_settings(url: &crate::config::Secret, pool: &crate::config::Pool) -> store::Settings {
    store::Settings {
        pool_size: usize::from(pool.pool_size),
        statement_timeout: pool.statement_timeout,
        ..store::Settings::new(url.expose())
    }
}
