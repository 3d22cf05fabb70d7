//! `synapps dev`: the service with a private Postgres, for one's own machine.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::config::{self, Common, Config, Listen, Migrate, Private, Secret};
use crate::egress::Policy;
use crate::postgres::{self, Durability, Options, Place, PrivateCluster};
use crate::secrets::KeyRing;
use crate::server::{self, Server};

/// The database of the service in its private cluster: the one that every cluster has. Another one would take a tenth
/// of a second to make, and nobody else is in this cluster.
const DATABASE: &str = "postgres";

/// The key of secrets, in the directory of the cluster.
const KEY_FILE: &str = "secrets.key";

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
    /// The key of its secrets can be neither read nor kept.
    #[error("cannot {action} {}, the key of secrets", path.display())]
    Key {
        /// What was to be done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
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
        let is_kept = matches!(place, Place::Kept(_));
        let cluster = PrivateCluster::start(Options {
            place,
            durability: Durability::Full,
            programs: private.postgres_bin.clone(),
            search_path: config::search_path(),
        })
        .await?;
        let common = match with_key(common, &cluster, is_kept) {
            Ok(common) => common,
            Err(error) => {
                cluster.stop().await;
                return Err(error);
            }
        };
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

/// Unless somebody brings a key for secrets, one of its own: kept beside the data that is sealed with it.
fn with_key(mut common: Common, cluster: &PrivateCluster, is_kept: bool) -> Result<Common, Error> {
    let secrets = &mut common.secrets;
    if secrets.secrets_key.is_some() || secrets.secrets_key_file.is_some() {
        return Ok(common);
    }
    if !is_kept {
        secrets.secrets_key = Some(Secret::new(KeyRing::generate()));
        return Ok(common);
    }
    let path = cluster.dir().join(KEY_FILE);
    let failed = |action: &'static str| {
        let path = path.clone();
        move |source| Error::Key {
            action,
            path,
            source,
        }
    };
    // Only this process gets here: the directory is locked.
    if !path.try_exists().map_err(failed("look for"))? {
        // Complete under another name first: half a key would open nothing, ever.
        let unfinished = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)
            .map_err(failed("make"))?;
        writeln!(file, "{}", KeyRing::generate()).map_err(failed("write"))?;
        file.sync_all().map_err(failed("write"))?;
        fs::rename(&unfinished, &path).map_err(failed("make"))?;
    }
    secrets.secrets_key_file = Some(path);
    Ok(common)
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
