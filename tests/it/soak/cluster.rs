//! The Postgres of the soak: one of its own, for it is restarted in the middle of everything.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use synapps::config::search_path;
use synapps::postgres::{Durability, Options, Place, PrivateCluster};
use synapps::store::{Settings, Store, migrate, partitions};
use tempfile::TempDir;
use tokio::sync::RwLock;
use tokio_postgres::Client;

use crate::support::database::Database;

/// The database.
const NAME: &str = "soak";

/// A cluster with a migrated database.
#[derive(Debug)]
pub struct SoakCluster {
    /// Empty while it is being restarted.
    running: RwLock<Option<PrivateCluster>>,
    database: Database,
    socket: PathBuf,
    dir: TempDir,
}

impl SoakCluster {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let running = launch(&dir).await;
        running.ensure_database(NAME).await.unwrap();
        let url = running.url(NAME);
        let store = Store::connect(&Settings::new(&url)).await.unwrap();
        migrate::run(&store).await.unwrap();
        let mut conn = store.dedicated().await.unwrap();
        let week = Duration::from_hours(7 * 24);
        partitions::ensure(&mut conn, chrono::Utc::now(), week)
            .await
            .unwrap();
        Self {
            database: Database::elsewhere(NAME, url),
            socket: running.socket_dir().join(".s.PGSQL.5432"),
            running: RwLock::new(Some(running)),
            dir,
        }
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    /// What it listens on, now and after each restart.
    pub fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    /// A client of the database, once there is one to be had.
    pub async fn sql(&self) -> Client {
        loop {
            if let Some(running) = &*self.running.read().await
                && let Ok(client) = running.connect(NAME).await
            {
                return client;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Keeps it from being restarted while this is held.
    pub async fn hold(&self) -> tokio::sync::RwLockReadGuard<'_, Option<PrivateCluster>> {
        self.running.read().await
    }

    /// Stops it by this signal (`INT`: sessions are ended; `QUIT`: at once, so that it has to recover), and starts it.
    pub async fn restart(&self, signal: Signal) {
        let mut running = self.running.write().await;
        if let Some(old) = running.take() {
            let pid = old.dir().join("data/postmaster.pid");
            let pid = std::fs::read_to_string(pid).unwrap();
            let pid = pid.lines().next().unwrap().parse().unwrap();
            kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
            old.ended().await;
            old.stop().await;
        }
        *running = Some(launch(&self.dir).await);
    }

    pub async fn stop(&self) {
        if let Some(running) = self.running.write().await.take() {
            running.stop().await;
        }
    }
}

async fn launch(dir: &TempDir) -> PrivateCluster {
    let cluster = PrivateCluster::start(Options {
        place: Place::Kept(dir.path().to_owned()),
        durability: Durability::None,
        programs: None,
        search_path: search_path(),
    });
    cluster.await.unwrap()
}
