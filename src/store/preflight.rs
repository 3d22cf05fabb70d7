//! Whether the service can work with this database at all, asked once at start: each answer says what to do.

use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;

use super::dial::Dialer;
use super::{Error as StoreError, Result};

/// The oldest server that will do.
const OLDEST: i32 = 15;

/// Why the service cannot work with the database until somebody changes something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be read.
    #[error(
        "the database URL is malformed: {why}; it looks like postgres://user:password@host:5432/database?sslmode=verify-full"
    )]
    MalformedUrl {
        /// What is wrong, without the URL.
        why: String,
    },
    /// The certificates to check the server against are missing.
    #[error(
        "the certificates of {source_name} cannot be used: {why}; set sslrootcert of the database URL to a PEM file"
    )]
    Certificates {
        /// The file, or the operating system.
        source_name: String,
        /// What is wrong with them.
        why: String,
    },
    /// Nobody answers at the address.
    #[error(
        "no Postgres answers at {address}: {why}; start it there, or correct host and port of the database URL"
    )]
    NoServer {
        /// Hosts and ports of the URL.
        address: String,
        /// What the operating system says.
        why: String,
    },
    /// TLS did not come about.
    #[error(
        "no TLS with {address}: {why}; turn TLS on in the server, or correct sslmode and sslrootcert of the database URL"
    )]
    Tls {
        /// Hosts and ports of the URL.
        address: String,
        /// What went wrong.
        why: String,
    },
    /// The server does not let this user in.
    #[error(
        "Postgres at {address} does not let user {user:?} in: {why}; correct user and password of the database URL, or the server's pg_hba.conf"
    )]
    Authentication {
        /// Hosts and ports of the URL.
        address: String,
        /// The user of the URL.
        user: String,
        /// What the server says.
        why: String,
    },
    /// The server is there, the database is not.
    #[error(
        "Postgres at {address} has no database {name:?}; create it (createdb {name}), or correct the database URL"
    )]
    NoDatabase {
        /// Hosts and ports of the URL.
        address: String,
        /// The database of the URL.
        name: String,
    },
    /// The server is too old.
    #[error("the server is Postgres {found}, synapps needs {OLDEST} or newer; upgrade the server")]
    TooOld {
        /// The server's version.
        found: String,
    },
    /// The server says that something is durable before it is.
    #[error(
        "synchronous_commit is off, so that a crash of the server could lose runs that were acknowledged; set it back (ALTER DATABASE {name:?} RESET synchronous_commit, ALTER ROLE {user:?} RESET synchronous_commit, or postgresql.conf)"
    )]
    SynchronousCommitOff {
        /// The database.
        name: String,
        /// The user.
        user: String,
    },
    /// Transactions would see other things than the queries are written for.
    #[error(
        "default_transaction_isolation is {found:?}, synapps is written for 'read committed'; set it back (ALTER DATABASE {name:?} RESET default_transaction_isolation, ALTER ROLE {user:?} RESET default_transaction_isolation, or postgresql.conf)"
    )]
    Isolation {
        /// The database.
        name: String,
        /// The user.
        user: String,
        /// What is set.
        found: String,
    },
    /// The server takes no writes.
    #[error(
        "Postgres at {address} takes no writes (a standby, or default_transaction_read_only is on); point the database URL at the primary (target_session_attrs=read-write finds it among several hosts)"
    )]
    ReadOnly {
        /// Hosts and ports of the URL.
        address: String,
    },
    /// The schema is older than the binary.
    #[error(
        "{} pending: {}; run `synapps migrate` first",
        if .0.len() == 1 { "a migration is".to_owned() } else { format!("{} migrations are", .0.len()) },
        .0.join(", ")
    )]
    PendingMigrations(
        /// Their names, oldest first.
        Vec<String>,
    ),
    /// A migration failed; the schema is as it was before it.
    #[error("a migration failed: {0}")]
    Migration(
        /// Which, and what the server says.
        String,
    ),
}

/// What the server says of itself.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its version as it prints it (`15.13 (Debian 15.13-0+deb12u1)`).
    pub version: String,
    /// The database.
    pub database: String,
    /// Hosts and ports, as the URL gives them.
    pub address: String,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// Connects once and asks what must hold.
///
/// # Errors
///
/// [`StoreError::Setup`] where somebody has to change something, [`StoreError::Unavailable`] where only waiting helps
/// (the server starts up, or has no connection left).
pub(super) async fn check(dialer: &Dialer) -> Result<Server> {
    let config = dialer.config();
    let address = address(config);
    let user = config.get_user().unwrap_or_default().to_owned();
    let database = config.get_dbname().unwrap_or(&user).to_owned();
    let (client, wire) = dialer
        .bare()
        .await
        .map_err(|error| refusal(error, &address, &user, &database))?;
    let reading = tokio::spawn(wire);
    let answer = ask(&client).await;
    drop(client);
    // The connection ends now that its client is gone; an error in its last breath harms nobody.
    drop(reading.await);
    let answer = answer?;
    if answer.version_number < OLDEST * 10_000 {
        let found = answer.version;
        return Err(Error::TooOld { found }.into());
    }
    if answer.synchronous_commit == "off" {
        let name = database;
        return Err(Error::SynchronousCommitOff { name, user }.into());
    }
    if answer.isolation != "read committed" {
        let (name, found) = (database, answer.isolation);
        return Err(Error::Isolation { name, user, found }.into());
    }
    if answer.read_only {
        return Err(Error::ReadOnly { address }.into());
    }
    Ok(Server {
        version: answer.version,
        database,
        address,
        tls: answer.tls,
    })
}

struct Answer {
    version_number: i32,
    version: String,
    synchronous_commit: String,
    isolation: String,
    read_only: bool,
    tls: bool,
}

async fn ask(client: &tokio_postgres::Client) -> Result<Answer, tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::int, current_setting('server_version'), \
             current_setting('synchronous_commit'), current_setting('default_transaction_isolation'), \
             pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool, \
             coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)",
            &[],
        )
        .await?;
    Ok(Answer {
        version_number: row.try_get(0)?,
        version: row.try_get(1)?,
        synchronous_commit: row.try_get(2)?,
        isolation: row.try_get(3)?,
        read_only: row.try_get(4)?,
        tls: row.try_get(5)?,
    })
}

/// What a connection that did not come about means for whoever runs the service.
fn refusal(error: tokio_postgres::Error, address: &str, user: &str, database: &str) -> StoreError {
    let address = address.to_owned();
    let why = super::error::text(&error);
    if let Some(db) = error.as_db_error() {
        let code = db.code();
        let why = db.message().to_owned();
        return if *code == SqlState::INVALID_CATALOG_NAME {
            let name = database.to_owned();
            Error::NoDatabase { address, name }.into()
        } else if code.code().starts_with("28") || *code == SqlState::INSUFFICIENT_PRIVILEGE {
            let user = user.to_owned();
            Error::Authentication { address, user, why }.into()
        } else {
            error.into()
        };
    }
    let kind = error.to_string();
    if kind.starts_with("authentication error") || kind.starts_with("invalid configuration") {
        // The server wants a password and the URL has none, or a way to log in that the client does not know.
        let user = user.to_owned();
        return Error::Authentication { address, user, why }.into();
    }
    if kind.starts_with("error performing TLS handshake") {
        return Error::Tls { address, why }.into();
    }
    Error::NoServer { address, why }.into()
}

fn address(config: &tokio_postgres::Config) -> String {
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate().map(|(at, host)| {
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(directory) => format!("{}/.s.PGSQL.{port}", directory.display()),
        }
    });
    hosts.collect::<Vec<_>>().join(", ")
}
