//! The Postgres cluster of a run of tests, with a migrated database to copy.
//!
//! It outlives each test and each runtime, and has to be gone with its files however the tests end. So a process of
//! its own keeps it: this program again, with the "test" [`keep`] alone. It stops the cluster when its standard input
//! ends, which it does when the tests do, even if they are killed.

use std::env;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use chrono::Utc;
use synapps::config::search_path;
use synapps::postgres::{Durability, Options, Place, PrivateCluster};
use synapps::store::{Settings, Store, migrate, partitions};

/// The migrated database, with partitions, that each test gets a copy of.
pub const TEMPLATE: &str = "migrated";

/// Set for the keeper and nobody else.
const KEEPER: &str = "SYNAPPS_TEST_KEEPER";

/// What the keeper's word begins with, among what the test harness prints.
const READY: &str = "cluster is ready: ";

/// The width of partitions that the service has unless told otherwise.
const PARTITION_WIDTH: Duration = Duration::from_hours(7 * 24);

static CLUSTER: OnceLock<Cluster> = OnceLock::new();

/// The running cluster.
#[derive(Debug)]
pub struct Cluster {
    url: String,
    socket_dir: PathBuf,
    // Its standard input ends with this process.
    _keeper: Child,
}

impl Cluster {
    /// The cluster of this run of tests; the first call starts it.
    pub fn get() -> &'static Self {
        CLUSTER.get_or_init(Self::start)
    }

    /// Where a client connects to one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("{}{database}", self.url)
    }

    /// The socket that it listens on.
    pub fn socket(&self) -> PathBuf {
        self.socket_dir.join(".s.PGSQL.5432")
    }

    /// A client of one of its databases.
    pub async fn connect(&self, database: &str) -> tokio_postgres::Client {
        let (client, connection) =
            tokio_postgres::connect(&self.url(database), tokio_postgres::NoTls)
                .await
                .unwrap();
        tokio::spawn(connection);
        client
    }

    fn start() -> Self {
        let mut keeper = Command::new(env::current_exe().unwrap())
            .args(["--exact", concat!("support::cluster", "::keep")])
            .args(["--ignored", "--nocapture", "--test-threads=1"])
            .env(KEEPER, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the tests: it stops afterwards.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(keeper.stdout.take().unwrap()).lines();
        let ready = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, ready) = line.split_once(READY)?;
            let (url, socket_dir) = ready.split_once('\t')?;
            Some((url.to_owned(), Path::new(socket_dir).to_owned()))
        });
        let (url, socket_dir) = ready.expect("the keeper says above why there is no cluster");
        Self {
            url,
            socket_dir,
            _keeper: keeper,
        }
    }
}

/// Keeps the cluster until standard input ends; does nothing unless it is started by [`Cluster::start`].
#[test]
#[ignore = "it is the process that keeps the cluster for the other tests"]
fn keep() {
    if env::var_os(KEEPER).is_none() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let cluster = PrivateCluster::start(Options {
            place: Place::Ephemeral,
            durability: Durability::None,
            programs: None,
            search_path: search_path(),
        });
        let cluster = cluster.await.unwrap();
        cluster.ensure_database(TEMPLATE).await.unwrap();
        fill_template(&cluster.url(TEMPLATE)).await;
        println!(
            "{READY}{}\t{}",
            cluster.url(""),
            cluster.socket_dir().display()
        );
        let ended = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()));
        ended.await.unwrap().unwrap();
        cluster.stop().await;
    });
    // The harness would report to standard output, which has ended too.
    process::exit(0);
}

async fn fill_template(url: &str) {
    let store = Store::connect(&Settings::new(url)).await.unwrap();
    migrate::run(&store).await.unwrap();
    let mut conn = store.dedicated().await.unwrap();
    partitions::ensure(&mut conn, Utc::now(), PARTITION_WIDTH)
        .await
        .unwrap();
}
