//! The server, in this process, on a database of its own and any free port.
//!
//! ```ignore
//! let server = TestServer::start().await;
//! let run_id = server.save_and_start(flow, &json!({})).await;
//! let run = server.finished_run(&run_id).await;
//! ```
//!
//! It ends with the test, whose runtime ends its tasks; [`TestServer::stop`] stops it in order.

use std::net::SocketAddr;
use std::ops::Deref;

use clap::Parser;
use synapps::cli::{Cli, Command};
use synapps::config::Config;
use synapps::server::{Error, Server};

use super::calls::Calls;
use super::database::Database;

/// What a server of the tests gets on its command line unless a test says something else: few connections, a short
/// lease, and the way free to servers of the tests.
pub const FLAGS: [&str; 8] = [
    "--listen=127.0.0.1:0",
    "--lease=2s",
    "--pool-size=4",
    "--egress-allow=127.0.0.0/8,::1/128",
    "--drain-timeout=5s",
    "--secrets-key=c2VjcmV0cyBvZiB0aGUgdGVzdHMsIDMyIGJ5dGVzISE=",
    "--code-probe=false",
    // A server in the process of the tests is not the program that runs code.
    concat!("--code-program=", env!("CARGO_BIN_EXE_synapps")),
];

/// A server in this process.
#[derive(Debug)]
pub struct TestServer {
    calls: Calls,
    server: Server,
    database: Database,
}

/// A server before its start.
#[derive(Debug, Default)]
pub struct Builder {
    flags: Vec<String>,
    left_out: Vec<&'static str>,
    database: Option<Database>,
    url: Option<String>,
}

impl TestServer {
    /// A server with the settings of [`FLAGS`] and a database of its own.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A server with other settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Its database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// A plain client of its database.
    pub async fn sql(&self) -> tokio_postgres::Client {
        self.database.sql().await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The server itself.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Stops it in order and gives its database.
    pub async fn stop(self) -> Database {
        self.server.stop().await.unwrap();
        self.database
    }
}

impl Deref for TestServer {
    type Target = Calls;

    fn deref(&self) -> &Calls {
        &self.calls
    }
}

impl Builder {
    /// Adds a flag of the command line, as `--flag=value`; it wins over that of [`FLAGS`].
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Leaves out a flag of [`FLAGS`], as `--flag`.
    pub fn without(mut self, flag: &'static str) -> Self {
        self.left_out.push(flag);
        self
    }

    /// Uses this database, which other servers may use too.
    pub fn database(mut self, database: &Database) -> Self {
        self.database = Some(database.clone());
        self
    }

    /// Reaches the database by another way, such as a [`Proxy`](super::proxy::Proxy).
    pub fn url(mut self, url: String) -> Self {
        self.url = Some(url);
        self
    }

    /// Starts it.
    pub async fn start(self) -> TestServer {
        self.try_start().await.unwrap()
    }

    /// Starts it, or says why it does not start.
    pub async fn try_start(self) -> Result<TestServer, Error> {
        let database = match self.database {
            Some(database) => database,
            None => Database::migrated().await,
        };
        let mut flags = self.flags;
        let url = self.url.unwrap_or_else(|| {
            flags.extend(database.service_flags());
            database.service_url()
        });
        let server = Server::start(&config(&url, &flags, &self.left_out)).await?;
        Ok(TestServer {
            calls: Calls::to(server.address()),
            server,
            database,
        })
    }
}

/// The configuration by the command line.
pub fn config(url: &str, flags: &[String], left_out: &[&str]) -> Config {
    let fixed = ["synapps", "serve", "--database-url", url].map(str::to_owned);
    let named = |flag: &String| {
        left_out
            .iter()
            .any(|out| flag.starts_with(&format!("{out}=")))
    };
    let flags = with_defaults(flags).into_iter().filter(|flag| !named(flag));
    let cli = Cli::parse_from(fixed.into_iter().chain(flags));
    let Command::Serve(serve) = cli.command else {
        panic!("serve was asked for");
    };
    serve.config()
}

/// These flags, and those of [`FLAGS`] that they do not replace. With `SYNAPPS_TEST_NOTIFY=off` servers neither send nor
/// hear notifications unless a test asks for it.
pub fn with_defaults(flags: &[String]) -> Vec<String> {
    fn name(flag: &str) -> &str {
        flag.split('=').next().unwrap_or_default()
    }
    let replaced = |default: &&str| flags.iter().any(|flag| name(flag) == name(default));
    let quiet = std::env::var("SYNAPPS_TEST_NOTIFY").is_ok_and(|notify| notify == "off");
    let notify = quiet.then_some("--notify=off");
    let defaults = FLAGS.into_iter().chain(notify);
    let defaults = defaults.filter(|default| !replaced(default));
    defaults
        .map(str::to_owned)
        .chain(flags.iter().cloned())
        .collect()
}
