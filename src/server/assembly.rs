//! What serves behind the transport, put together: the database, the engine, the services.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tonic::service::Routes;

use super::Error;
use crate::api;
use crate::applet::registry::{Registry, Services};
use crate::config::{Config, Migrate, Switch};
use crate::cpu::Cpu;
use crate::egress::Egress;
use crate::engine::{self, Engine};
use crate::flow::validate::Limits;
use crate::memory::embedder::Embedder;
use crate::memory::{self, Memory};
use crate::provider::Providers;
use crate::relay;
use crate::sandbox::Sandbox;
use crate::secrets::Vault;
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
///
/// `address` is where the server listens: what other replicas are told unless the configuration knows better.
pub(super) async fn assemble(config: &Config, address: SocketAddr) -> Result<Parts, Error> {
    // Before the database, which takes longer, and for nothing if this fails.
    let vault = Vault::new(config.secrets.find_keys()?);
    let direct_url = config.database.direct_url.as_ref();
    let store = Store::connect(&store::Settings {
        direct_url: direct_url.map(|url| url.expose().to_owned()),
        answer_timeout: answer_timeout(config.execution.lease),
        ..store_settings(&config.database.url, &config.database.pool)
    })
    .await?;
    let about = About {
        schema: schema(&store, config.database.migrate).await?,
        postgres: store.server().version.clone(),
    };
    let cpu = Cpu::start().map_err(Error::Threads)?;
    let checks = Cpu::start().map_err(Error::Threads)?;
    let policy = config.execution.egress_allow.clone();
    let egress = Egress::new(policy.unwrap_or_default())?;
    let code = config.code.sandbox(config.limits.max_payload_bytes);
    let sandbox = Sandbox::new(code).map_err(Error::Threads)?;
    if config.code.code_probe {
        sandbox.probe_in_background();
    }
    let registry = Registry::standard(Services {
        memory: memory(config, store.clone()).await?,
        providers: Providers::new(&config.providers)?,
        sandbox,
    });
    let settings = engine_settings(config, address);
    let engine = Engine::launch(settings, store, registry, cpu, egress, vault).await?;
    relay::keep(&engine);
    let routes = api::routes(engine.clone(), checks, api_settings(config));
    Ok(Parts {
        routes: routes.add_service(relay::service(engine.clone())),
        database: engine.reachable(),
        drain: Drain::new(|timeout| async move {
            engine.stop(timeout).await;
            engine.store().close();
        }),
        about,
    })
}

/// How long the journal waits for an answer: if the database falls silent, there has to be time left of the lease to
/// ask again.
fn answer_timeout(lease: Duration) -> Duration {
    (lease / 3).clamp(Duration::from_secs(2), Duration::from_secs(5))
}

/// What memory nodes keep, on a migrated database.
async fn memory(config: &Config, store: Store) -> Result<Memory, Error> {
    let limits = memory::Limits {
        entries: config.memory.memory_max_entries,
        size_bytes: config.memory.memory_max_bytes,
    };
    match config.memory.embedder(&config.providers) {
        None => Ok(Memory::new(store, limits)),
        Some(embedder) => {
            let embedder = Embedder::new(embedder, Egress::trusted()?);
            Ok(Memory::with_embedder(store, limits, embedder).await?)
        }
    }
}

/// The newest migration that the database has had, once all that are pending were run or refused.
async fn schema(store: &Store, migrate: Migrate) -> store::Result<String> {
    let status = match migrate {
        Migrate::Auto => {
            for version in migrate::run(store).await? {
                tracing::info!(migration.version = version, "migrated");
            }
            // By the other way to the database, if there are two: they might not lead to the same one.
            migrate::check(store).await?
        }
        Migrate::Off => migrate::check(store).await?,
    };
    Ok(status.applied.last().cloned().unwrap_or_default())
}

fn api_settings(config: &Config) -> api::Settings {
    let limits = &config.limits;
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    api::Settings {
        limits: Limits {
            nodes: count(limits.max_nodes),
            edges: count(limits.max_edges),
            run_timeout: config.execution.max_run_time,
        },
        max_input_bytes: u64::from(limits.max_input_bytes),
        ..api::Settings::default()
    }
}

fn engine_settings(config: &Config, address: SocketAddr) -> engine::Settings {
    let execution = &config.execution;
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    engine::Settings {
        journal_lanes: usize::from(execution.journal_lanes),
        max_concurrent_steps: count(execution.max_concurrent_steps),
        max_open_runs: count(execution.max_open_runs),
        max_queued_runs: config.limits.max_queued_runs.into(),
        max_queued_runs_per_namespace: config.limits.max_queued_runs_per_namespace.into(),
        notify: execution.notify == Switch::On,
        max_watchers: count(config.limits.max_watchers),
        lease: execution.lease,
        max_run_time: execution.max_run_time,
        max_payload_bytes: config.limits.max_payload_bytes.into(),
        payload_cache_bytes: execution.payload_cache_bytes,
        partition_width: config.database.pool.partition_width,
        address: match &config.listen.advertise {
            Some(advertised) => advertised.clone(),
            // Everybody would reach themselves there.
            None if address.ip().is_unspecified() => {
                tracing::info!(
                    "other replicas do not know where to reach this one: what they watch of its runs is polled, unless \
                     --advertise (SYNAPPS_ADVERTISE) is set"
                );
                String::new()
            }
            None => address.to_string(),
        },
        alone: config.alone,
    }
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
