//! PgBouncer, between servers of the tests and Postgres.
//!
//! With `SYNAPPS_TEST_PGBOUNCER=session` (or `transaction`) all servers of the tests go through one. It is the one in
//! `SYNAPPS_TEST_PGBOUNCER_PROGRAM`, or that of the system.

use std::env;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::PATIENCE;
use super::cluster::Cluster;
use super::database::Database;

/// For how long a client has a connection of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For as long as it is connected.
    Session,
    /// For a transaction.
    Transaction,
}

/// A running PgBouncer, before all databases of the cluster. It ends when this is dropped or the tests end.
#[derive(Debug)]
pub struct Pooler {
    mode: Mode,
    port: u16,
    dir: TempDir,
    // Its standard input ends with this process, however that ends.
    keeper: Child,
}

/// The pooler that is between all servers and Postgres, if there is to be one.
pub fn between() -> Option<&'static Pooler> {
    static BETWEEN: OnceLock<Option<Pooler>> = OnceLock::new();
    let start = || match env::var("SYNAPPS_TEST_PGBOUNCER").ok()?.as_str() {
        "session" => Some(Pooler::start(Mode::Session)),
        "transaction" => Some(Pooler::start(Mode::Transaction)),
        other => panic!("SYNAPPS_TEST_PGBOUNCER knows session and transaction, not {other:?}"),
    };
    BETWEEN.get_or_init(start).as_ref()
}

/// The socket that leads to Postgres from where servers are, for a proxy: it keeps sessions.
pub fn upstream() -> PathBuf {
    match between() {
        Some(pooler) if pooler.mode == Mode::Session => pooler.socket(),
        _ => Cluster::get().socket(),
    }
}

/// The program, if it is installed.
pub fn program() -> Option<PathBuf> {
    if let Some(program) = env::var_os("SYNAPPS_TEST_PGBOUNCER_PROGRAM") {
        return Some(program.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    // Where Debian has it, which is not on everybody's path.
    let dirs = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut programs = dirs.map(|dir| dir.join("pgbouncer"));
    programs.find(|program| program.is_file())
}

/// Major and minor version of the program, if it is installed.
pub fn version() -> Option<(u32, u32)> {
    let output = Command::new(program()?).arg("--version").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(1)?;
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

impl Pooler {
    /// Starts one and waits until it listens.
    pub fn start(mode: Mode) -> Self {
        let program = program().expect("pgbouncer is installed");
        // The cluster's user: PgBouncer does not run as root either.
        let owner = fs::metadata(Cluster::get().socket()).unwrap();
        let dir = tempfile::Builder::new()
            .prefix("synapps-pooler.")
            .tempdir_in("/tmp")
            .unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        fs::write(dir.path().join("users"), "\"synapps\" \"\"\n").unwrap();
        fs::write(dir.path().join("ini"), settings(mode, port, dir.path())).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut keeper = Command::new("sh");
        keeper
            .args(["-c", "\"$0\" -q \"$1\" & cat >/dev/null; kill $!"])
            .arg(program)
            .arg(dir.path().join("ini"))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for the tests: it stops afterwards.
            .process_group(0);
        if rustix::process::geteuid().is_root() {
            chown(dir.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
            keeper.uid(owner.uid()).gid(owner.gid());
        }
        let pooler = Self {
            mode,
            port,
            dir,
            keeper: keeper.spawn().unwrap(),
        };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                began.elapsed() < PATIENCE,
                "PgBouncer does not listen: {}",
                pooler.log()
            );
            thread::sleep(Duration::from_millis(10));
        }
        pooler
    }

    /// For how long a client has a connection of the server.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Where a client connects to a database.
    pub fn url(&self, database: &Database) -> String {
        let (port, name) = (self.port, database.name());
        format!("postgres://synapps@127.0.0.1:{port}/{name}?sslmode=disable")
    }

    /// The socket that it listens on.
    fn socket(&self) -> PathBuf {
        self.dir.path().join(format!(".s.PGSQL.{}", self.port))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().ok();
    }
}

fn settings(mode: Mode, port: u16, dir: &Path) -> String {
    let socket = Cluster::get().socket();
    let cluster = socket.parent().unwrap().display();
    let dir = dir.display();
    let mode = match mode {
        Mode::Session => "session",
        // From 1.21 on.
        Mode::Transaction => "transaction\nmax_prepared_statements = 200",
    };
    format!(
        "[databases]\n* = host={cluster} port=5432\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir = {dir}\nlogfile = {dir}/log\n\
         auth_type = trust\nauth_file = {dir}/users\npool_mode = {mode}\nmax_client_conn = 1000\ndefault_pool_size = 100\n\
         server_idle_timeout = 10\nlog_connections = 0\nlog_disconnections = 0\n"
    )
}
