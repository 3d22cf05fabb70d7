//! The services with bounds that cannot be set from outside, on a plain transport.

use std::time::Duration;

use synapps::api::{self, Settings};
use synapps::applet::registry::{Registry, Services};
use synapps::cpu::Cpu;
use synapps::egress::{Egress, Policy};
use synapps::engine::{self, Engine};
use synapps::memory::{Limits, Memory};
use synapps::provider::Providers;
use synapps::sandbox::{self, Sandbox};
use synapps::secrets::Vault;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use crate::support::calls::Calls;
use crate::support::database::Database;

/// The services; they end with the runtime.
pub struct Bare {
    address: std::net::SocketAddr,
    engine: Engine,
    database: Database,
}

impl Bare {
    /// Starts them with these settings.
    pub async fn start(settings: Settings) -> Self {
        let database = Database::migrated().await;
        let execution = engine::Settings {
            journal_lanes: 2,
            max_concurrent_steps: 16,
            max_open_runs: 100,
            max_queued_runs: 1_000,
            max_queued_runs_per_namespace: 1_000,
            notify: false,
            max_watchers: 100,
            lease: Duration::from_secs(15),
            max_run_time: Duration::from_hours(1),
            max_payload_bytes: 16 << 20,
            payload_cache_bytes: 16 << 20,
            partition_width: Duration::from_hours(7 * 24),
            address: String::new(),
            alone: true,
        };
        let policy = Policy {
            allow: vec!["127.0.0.0/8".parse().unwrap()],
        };
        let store = database.store().await;
        let code = sandbox::Settings {
            mode: sandbox::Mode::Off,
            python: "python3".into(),
            program: None,
            max_result_bytes: 1 << 20,
        };
        let services = Services {
            memory: Memory::new(store.clone(), Limits::default()),
            providers: Providers::new(&synapps::config::Providers::default()).unwrap(),
            sandbox: Sandbox::new(code).unwrap(),
        };
        let engine = Engine::launch(
            execution,
            store,
            Registry::standard(services),
            Cpu::start().unwrap(),
            Egress::new(policy).unwrap(),
            Vault::new(None),
        );
        let engine = engine.await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = api::routes(engine.clone(), Cpu::start().unwrap(), settings);
        tokio::spawn(
            Server::builder()
                .add_routes(routes)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self {
            address,
            engine,
            database,
        }
    }

    /// A connection of its own.
    pub fn connect(&self) -> Calls {
        Calls::to(self.address)
    }

    /// A plain client of the database.
    pub async fn sql(&self) -> tokio_postgres::Client {
        self.database.sql().await
    }

    /// Waits until no watch, of one run or of many, is served any more.
    pub async fn has_no_watches(&self) {
        let wait = async {
            while !self.engine.watches().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        crate::support::within("the end of all watches", wait).await;
    }

    /// Waits until nobody watches anything any more.
    pub async fn is_unwatched(&self) {
        let wait = async {
            while !self.engine.hub().watched().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        crate::support::within("the end of all watches", wait).await;
    }
}
