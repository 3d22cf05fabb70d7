//! What a workload is measured on: a private Postgres, the service as a process of its own, clients.

use std::path::Path;
use std::time::Duration;

use synapps::bench::{Clients, Pace};
use synapps::config::search_path;
use synapps::postgres::{Durability, Options, Place, PrivateCluster};

use crate::Result;
use crate::service::Service;
use crate::settings::Settings;

/// The database of the service.
pub const DATABASE: &str = "synapps";

/// Everything that a workload needs.
pub struct Stand {
    pub cluster: PrivateCluster,
    pub service: Service,
    pub clients: Clients,
}

impl Stand {
    /// Starts Postgres and the service, both with nothing in them.
    pub async fn start(settings: &Settings) -> Result<Self> {
        Self::of(&settings.program).await
    }

    /// The same with another build of the program.
    pub async fn of(program: &Path) -> Result<Self> {
        let cluster = cluster().await?;
        cluster.ensure_database(DATABASE).await?;
        let service = Service::start(program, &cluster.url(DATABASE)).await?;
        let clients = Clients::connect(&[service.address()]).await?;
        Ok(Self {
            cluster,
            service,
            clients,
        })
    }

    /// Stops the service, then Postgres.
    pub async fn stop(self) -> Result<()> {
        drop(self.clients);
        self.service.stop().await?;
        self.cluster.stop().await;
        Ok(())
    }
}

/// A Postgres of one's own as its packages configure it, `fsync` and `synchronous_commit` on.
pub async fn cluster() -> Result<PrivateCluster> {
    let options = Options {
        place: Place::Ephemeral,
        durability: Durability::Full,
        programs: None,
        search_path: search_path(),
    };
    Ok(PrivateCluster::start(options).await?)
}

/// The pace of many clients.
pub fn pace(settings: &Settings, window: Duration) -> Pace {
    Pace {
        clients: usize::from(settings.clients),
        window,
    }
}
