//! `synapps dev`: the service with a private Postgres, for one's own machine.

use crate::config::{self, Common, Config, Listen, Migrate, Private, Secret};
use crate::egress::Policy;
use crate::postgres::{self, Durability, Options, Place, PrivateCluster};
use crate::server::{self, Server};

/// The database of the service in its private cluster: the one that every cluster has. Another one would take a tenth
/// of a second to make, and nobody else is in this cluster.
const DATABASE: &str = "postgres";

/// Where a cluster of root is kept: its home directory is closed to the user who runs Postgres.
const ROOT_DATA_DIR: &str = "/var/lib/synapps/postgres";

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no home directory to keep data in.
    #[error(
        "neither XDG_DATA_HOME nor HOME says where to keep data; say it by --data-dir, or use --ephemeral"
    )]
    NoHome,
    /// The private Postgres does not start.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// The service does not start, or has failed.
    #[error(transparent)]
    Server(#[from] server::Error),
}

/// A service with a private Postgres.
#[derive(Debug)]
pub struct Dev {
    // The server first: it still writes while it stops.
    server: Server,
    cluster: PrivateCluster,
}

impl Dev {
    /// Starts Postgres, then the service on it.
    ///
    /// # Errors
    ///
    /// All kinds of [`Error`]; nothing is left running then.
    pub async fn start(
        listen: Listen,
        place: Place,
        private: &Private,
        common: Common,
    ) -> Result<Self, Error> {
        // Before Postgres, which takes longer, and for nothing if this fails.
        listen.check().map_err(server::Error::from)?;
        let cluster = PrivateCluster::start(Options {
            place,
            durability: Durability::Full,
            programs: private.postgres_bin.clone(),
            search_path: config::search_path(),
        })
        .await?;
        let config = configured(listen, &cluster, common);
        match Server::start(&config).await {
            Ok(server) => Ok(Self { server, cluster }),
            Err(error) => {
                cluster.stop().await;
                Err(error.into())
            }
        }
    }

    /// The service.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Its Postgres.
    #[must_use]
    pub fn cluster(&self) -> &PrivateCluster {
        &self.cluster
    }

    /// Where its database is, for those who want to look into it.
    #[must_use]
    pub fn url(&self) -> String {
        self.cluster.url(DATABASE)
    }

    /// Stops the service, then Postgres.
    ///
    /// # Errors
    ///
    /// As [`Server::stop`]; Postgres is stopped all the same.
    pub async fn stop(self) -> Result<(), Error> {
        let stopped = self.server.stop().await;
        self.cluster.stop().await;
        Ok(stopped?)
    }
}

fn configured(listen: Listen, cluster: &PrivateCluster, mut common: Common) -> Config {
    common.execution.egress_allow.get_or_insert_with(loopback);
    let url = Secret::new(cluster.url(DATABASE));
    Config {
        alone: true,
        ..common.with(listen, url, Migrate::Auto)
    }
}

/// What flows may call unless somebody says otherwise: this machine, which is what one tries things out with.
pub(crate) fn loopback() -> Policy {
    "127.0.0.0/8,::1/128"
        .parse()
        .expect("two networks with a comma between them")
}

/// Where `dev` keeps its data: where it is told to, or where programs of this user do.
///
/// # Errors
///
/// [`Error::NoHome`].
pub fn place(private: &Private) -> Result<Place, Error> {
    if private.ephemeral {
        return Ok(Place::Ephemeral);
    }
    if let Some(dir) = &private.data_dir {
        return Ok(Place::Kept(dir.clone()));
    }
    if rustix::process::geteuid().is_root() {
        return Ok(Place::Kept(ROOT_DATA_DIR.into()));
    }
    let home = config::data_home().ok_or(Error::NoHome)?;
    Ok(Place::Kept(home.join("synapps/postgres")))
}
