//! The health of the process and of its services, as the gRPC health protocol tells it.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::proto::{
    applet_service_server, flow_service_server, run_service_server, secret_service_server,
};

/// The name that stands for the process alone: it says nothing of the database, whose outage no restart mends.
pub(super) const LIVENESS: &str = "liveness";

/// The names that say whether calls are served. The empty one stands for the whole server.
const SERVICES: [&str; 5] = [
    "",
    flow_service_server::SERVICE_NAME,
    run_service_server::SERVICE_NAME,
    applet_service_server::SERVICE_NAME,
    secret_service_server::SERVICE_NAME,
];

/// What is told about the health of this process.
#[derive(Clone, Debug)]
pub(super) struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// A process that lives and does not serve yet.
    pub(super) async fn starting() -> Self {
        let health = Self {
            reporter: HealthReporter::new(),
        };
        health.set(LIVENESS, ServingStatus::Serving).await;
        health.set_all(ServingStatus::NotServing).await;
        health
    }

    /// The service that tells it.
    pub(super) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// Serves while there is a database, until `draining`; then never again.
    pub(super) async fn follow(
        &self,
        mut database: watch::Receiver<bool>,
        draining: CancellationToken,
    ) {
        loop {
            let status = if *database.borrow_and_update() {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            self.set_all(status).await;
            tokio::select! {
                () = draining.cancelled() => break,
                changed = database.changed() => if changed.is_err() {
                    // Nobody will say anything more; what was said last holds.
                    draining.cancelled().await;
                    break;
                },
            }
        }
        self.set_all(ServingStatus::NotServing).await;
    }

    async fn set_all(&self, status: ServingStatus) {
        for service in SERVICES {
            self.set(service, status).await;
        }
    }

    async fn set(&self, service: &str, status: ServingStatus) {
        self.reporter.set_service_status(service, status).await;
    }
}
