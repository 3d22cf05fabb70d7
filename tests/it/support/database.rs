//! A database of a test's own.
//!
//! `Database::migrated()` is a copy of the template, `Database::empty()` has nothing in it. Cheap to clone; it is
//! dropped, whoever is still connected, when the last clone is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use synapps::store::{Settings, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::cluster::{Cluster, TEMPLATE};
use super::pooler::{self, Mode};
use super::within;

/// How many databases there may be at once: the cluster takes 200 connections, and a test with three servers needs 30.
static PLACES: std::sync::LazyLock<Arc<Semaphore>> =
    std::sync::LazyLock::new(|| Arc::new(Semaphore::new(5)));

static COUNT: AtomicU32 = AtomicU32::new(1);

/// A database in the cluster.
#[derive(Clone, Debug)]
pub struct Database {
    place: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    name: String,
    /// Where it is, if not in the cluster of the tests; whose it is then removes it.
    url: Option<String>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Database {
    /// A database with the schema of this version and no rows.
    pub async fn migrated() -> Self {
        Self::create(&format!(" TEMPLATE {TEMPLATE}")).await
    }

    /// A database with nothing in it.
    pub async fn empty() -> Self {
        Self::create("").await
    }

    async fn create(options: &str) -> Self {
        let permit = Arc::clone(&PLACES).acquire_owned().await.unwrap();
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let client = Cluster::get().connect("postgres").await;
        let create = format!("CREATE DATABASE {name}{options}");
        client.batch_execute(&create).await.unwrap();
        let permit = Some(permit);
        Self {
            place: Arc::new(Held {
                name,
                url: None,
                permit,
            }),
        }
    }

    /// A database of another cluster, which stays when this is dropped.
    pub fn elsewhere(name: &str, url: String) -> Self {
        Self {
            place: Arc::new(Held {
                name: name.to_owned(),
                url: Some(url),
                permit: None,
            }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// Where a client connects to it.
    pub fn url(&self) -> String {
        let elsewhere = self.place.url.clone();
        elsewhere.unwrap_or_else(|| Cluster::get().url(self.name()))
    }

    /// Where servers reach it: by the pooler, if there is one between them and Postgres.
    pub fn service_url(&self) -> String {
        match pooler::between() {
            Some(pooler) if self.place.url.is_none() => pooler.url(self),
            _ => self.url(),
        }
    }

    /// What servers have to be told beside [`Database::service_url`].
    pub fn service_flags(&self) -> Vec<String> {
        match pooler::between() {
            Some(pooler) if pooler.mode() == Mode::Transaction => {
                vec![format!("--direct-url={}", self.url())]
            }
            _ => Vec::new(),
        }
    }

    /// A plain client: for looking at rows, and for doing to them what others might.
    pub async fn sql(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }

    /// Waits until some statement in it waits for a lock.
    pub async fn somebody_waits_for_a_lock(&self) {
        let waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let sql = self.sql().await;
        let wait = async {
            while sql.query(waiting, &[]).await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        within("a statement that waits for a lock", wait).await;
    }

    /// The service's own way to it.
    pub async fn store(&self) -> Store {
        Store::connect(&Settings::new(self.url())).await.unwrap()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.url.is_some() {
            return;
        }
        let name = std::mem::take(&mut self.name);
        let permit = self.permit.take();
        // The runtime of the test may be about to end, so this takes one of its own. Nobody waits for it: what is left
        // when the tests end goes with the cluster.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let client = Cluster::get().connect("postgres").await;
                let drop = format!("DROP DATABASE {name} WITH (FORCE)");
                client.batch_execute(&drop).await.unwrap();
            });
            drop(permit);
        });
    }
}
