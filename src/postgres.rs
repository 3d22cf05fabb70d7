//! A Postgres cluster of one's own: made, started and stopped by this process.
//!
//! It listens on a unix socket in a directory that only its user can enter, so that trusting whoever connects is safe.
//! It runs as a child that the kernel stops when this process dies, whatever way; data survives that, because Postgres
//! recovers by itself. One process at a time has a data directory: a lock says so.

mod account;
mod directory;
mod initdb;
mod leftover;
mod process;
pub mod programs;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio_postgres::NoTls;

use account::Account;
use directory::Directory;
use process::Process;
use programs::Programs;

/// The superuser of each cluster that is made here.
const USER: &str = "synapps";

/// How long a cluster may take until it answers: it may have to recover from a crash first.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// How often a starting cluster is asked whether it answers.
const START_POLL: Duration = Duration::from_millis(5);

/// What cluster to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the data is.
    pub place: Place,
    /// What a crash of the whole machine may cost.
    pub durability: Durability,
    /// The directory of the Postgres programs; `None` takes the newest that is found.
    pub programs: Option<PathBuf>,
    /// Where programs are searched first: the directories of `$PATH`.
    pub search_path: Vec<PathBuf>,
}

/// Where the data of a cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this directory, which is made if it is not there, and kept.
    Kept(PathBuf),
    /// In a temporary directory that is removed at the end.
    Ephemeral,
}

/// What a crash of the whole machine may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was committed.
    Full,
    /// The whole cluster: for tests, which are faster so.
    None,
}

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No programs, or too old ones.
    #[error(transparent)]
    Programs(#[from] programs::Error),
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] directory::Error),
    /// Started as root, and nobody else can be found to run it.
    #[error(transparent)]
    Account(#[from] account::Error),
    /// No cluster could be made.
    #[error(transparent)]
    Initdb(#[from] initdb::Error),
    /// Another server has the data, and does not let go.
    #[error(transparent)]
    Leftover(#[from] leftover::Error),
    /// The server program did not run at all.
    #[error("cannot run {}", program.display())]
    Spawn {
        /// What was to be run.
        program: PathBuf,
        /// Why it was not.
        source: io::Error,
    },
    /// The server ended before it answered.
    #[error("Postgres ended while it started; the end of {}:\n{tail}", log.display())]
    Ended {
        /// Its log.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// The server did not answer in time.
    #[error("Postgres does not answer {} s after its start; see {}", START_TIMEOUT.as_secs(), log.display())]
    Silent {
        /// Its log.
        log: PathBuf,
        /// What the last attempt to connect met.
        source: tokio_postgres::Error,
    },
    /// A statement that prepares the cluster failed.
    #[error("the private Postgres refused a statement")]
    Statement(#[from] tokio_postgres::Error),
}

/// A running cluster of one's own. Dropping it stops it too, but holds up the thread meanwhile.
#[derive(Debug)]
pub struct PrivateCluster {
    // Stopped before the directory goes.
    process: Process,
    directory: Directory,
    version: programs::Version,
}

impl PrivateCluster {
    /// Starts the cluster of a data directory, making it first if there is none, and waits until it answers.
    ///
    /// A server that a killed process has left on the data is stopped first.
    ///
    /// # Errors
    ///
    /// All kinds of [`Error`]; nothing is left running then.
    pub async fn start(options: Options) -> Result<Self, Error> {
        // Files, locks and children, all of which block.
        let started = tokio::task::spawn_blocking(move || Self::launch(&options)).await;
        let cluster = match started {
            Ok(cluster) => cluster?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        cluster.answered().await?;
        Ok(cluster)
    }

    fn launch(options: &Options) -> Result<Self, Error> {
        let mut directory = Directory::claim(&options.place)?;
        let account = Account::for_data(&directory.data())?;
        directory.hand_to(account.as_ref())?;
        let programs = match &options.programs {
            Some(dir) => Programs::in_dir(dir)?,
            None => Programs::find(&options.search_path, directory.data_version()?)?,
        };
        leftover::clear(&directory.data())?;
        if directory.data_version()?.is_none() {
            initdb::make(&programs, &directory, account.as_ref(), options)?;
        }
        let process = Process::spawn(&programs, &directory, account.as_ref(), options.durability)?;
        Ok(Self {
            process,
            directory,
            version: programs.version,
        })
    }

    /// Waits until the server takes connections.
    async fn answered(&self) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            let Err(failure) = self.connect("postgres").await else {
                return Ok(());
            };
            let log = self.directory.log();
            if self.process.has_ended() {
                let tail = tail(&log);
                return Err(Error::Ended { log, tail });
            }
            if started.elapsed() > START_TIMEOUT {
                return Err(Error::Silent {
                    log,
                    source: failure,
                });
            }
            tokio::time::sleep(START_POLL).await;
        }
    }

    /// Where clients connect to one of its databases: a URL with the path of the socket as host.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let socket = percent_encoded(self.directory.socket());
        format!("postgres://{USER}@{socket}/{database}")
    }

    /// The directory of its socket, for programs that take it as host.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        self.directory.socket()
    }

    /// The directory that holds everything of it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.directory.base()
    }

    /// Which Postgres it is.
    #[must_use]
    pub fn version(&self) -> programs::Version {
        self.version
    }

    /// Makes a database unless there is one of this name, which has to be letters, digits and underscores.
    ///
    /// # Errors
    ///
    /// [`Error::Statement`].
    pub async fn ensure_database(&self, name: &str) -> Result<(), Error> {
        let client = self.connect("postgres").await?;
        let known = client
            .query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name])
            .await?;
        if known.is_none() {
            let quoted = name.replace('"', "\"\"");
            client
                .batch_execute(&format!("CREATE DATABASE \"{quoted}\""))
                .await?;
        }
        Ok(())
    }

    /// A plain connection to one of its databases. It ends when the client is dropped.
    ///
    /// # Errors
    ///
    /// When the server takes none.
    pub async fn connect(
        &self,
        database: &str,
    ) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::Config::new()
            .host_path(self.directory.socket())
            .user(USER)
            .dbname(database)
            .connect(NoTls)
            .await?;
        // Ends with the client. What it fails with, the client's own calls report.
        tokio::spawn(connection);
        Ok(client)
    }

    /// Stops the cluster: sessions are ended, what is committed is on disk, an ephemeral directory is gone.
    ///
    /// Bounded: a server that has not ended after 10 s is told to leave without a checkpoint, after 5 s more it is
    /// killed; it recovers at its next start.
    pub async fn stop(self) {
        self.process.stop().await;
        // Removing thousands of files blocks.
        let removed = tokio::task::spawn_blocking(move || drop(self)).await;
        if let Err(panic) = removed {
            std::panic::resume_unwind(panic.into_panic());
        }
    }

    /// Waits until the server has ended by itself, which it does not do unless something is wrong or somebody else
    /// stops it.
    pub async fn ended(&self) {
        self.process.ended().await;
    }
}

/// A path as the host of a URL: everything but letters and digits escaped.
fn percent_encoded(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                text.push(char::from(*byte));
            }
            _ => write!(text, "%{byte:02X}").expect("writing to a String never fails"),
        }
    }
    text
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    const LINES: usize = 15;
    let text = std::fs::read(log).map_or_else(
        |error| format!("(cannot be read: {error})"),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    );
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
