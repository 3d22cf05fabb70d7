//! The command line: what can be asked of the program.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::bench::Workload;
use crate::config::duration::between;
use crate::config::listen::DEFAULT_LISTEN;
use crate::config::{Common, Config, Direct, Listen, Log, Migrate, Pool, Private, Secret, Secrets};

/// Version and commit of this build.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SYNAPPS_COMMIT"), ")");

/// Stores flows (graphs of applets) and runs them durably on Postgres, streaming every step over gRPC
///
/// Every flag can also be set by the environment variable that its help names. A duration is a whole number and a
/// unit: 500ms, 15s, 2m, 24h, 30d.
#[derive(Debug, Parser)]
#[command(name = "synapps", version = VERSION, max_term_width = 110, propagate_version = true)]
pub struct Cli {
    /// What is told meanwhile.
    #[command(flatten)]
    pub log: Log,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve, with a database of yours
    Serve(Box<Serve>),
    /// Bring the schema of the database up to date, or say whether it is
    Migrate(MigrateArgs),
    /// Serve, with a private Postgres that is started and stopped along with the service
    Dev(Box<Dev>),
    /// Run an example flow on a private Postgres and print each update as it streams
    Demo(Box<Demo>),
    /// Work on the secrets in the database
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Ask a running service for its health; succeeds if it is SERVING
    Health(Health),
    /// Put a running service under load and say how fast it is
    ///
    /// It saves flows of its own, runs them as fast as they come to their end, and deletes the flows again; the runs stay
    /// until retention removes them. Whoever else uses the service feels it.
    Bench(Bench),
}

/// Settings of `serve`.
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Where it listens.
    #[command(flatten)]
    pub listen: Listen,

    /// The database: postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=require, Postgres 15 or newer
    #[arg(
        long,
        env = "DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        help_heading = "Database"
    )]
    pub database_url: Secret,

    /// Another way to it.
    #[command(flatten)]
    pub direct: Direct,

    /// Whether pending migrations are run at start, or left to somebody else: one may then be pending, more are refused
    #[arg(
        long,
        env = "SYNAPPS_MIGRATE",
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Database"
    )]
    pub migrate: Migrate,

    /// The rest.
    #[command(flatten)]
    pub common: Common,
}

impl Serve {
    /// The configuration of the service.
    #[must_use]
    pub fn config(self) -> Config {
        let mut config = self
            .common
            .with(self.listen, self.database_url, self.migrate);
        config.database.direct_url = self.direct.direct_url;
        config
    }
}

/// Settings of `migrate`.
#[derive(Debug, clap::Args)]
pub struct MigrateArgs {
    /// The database: postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=require, Postgres 15 or newer
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Secret,

    /// Another way to it.
    #[command(flatten)]
    pub direct: Direct,

    /// Changes nothing, says what has been done and what is pending, and fails if something is
    #[arg(long)]
    pub status: bool,

    /// How the database is used.
    #[command(flatten)]
    pub pool: Pool,
}

/// What can be done to the secrets in the database.
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Seal all secrets anew with the first key, so that the others are needed no longer
    ///
    /// Give every serving process the new key first, behind the old one; then put it before the old one, rotate, and take
    /// the old one away. It may run while they serve, and can be repeated.
    Rotate(Rotate),
}

/// Settings of `secrets rotate`.
#[derive(Debug, clap::Args)]
pub struct Rotate {
    /// The database: postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=require, Postgres 15 or newer
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Secret,

    /// The keys.
    #[command(flatten)]
    pub secrets: Secrets,

    /// How the database is used.
    #[command(flatten)]
    pub pool: Pool,
}

/// Settings of `dev`.
#[derive(Debug, clap::Args)]
pub struct Dev {
    /// Where it listens.
    #[command(flatten)]
    pub listen: Listen,

    /// Its Postgres.
    #[command(flatten)]
    pub private: Private,

    /// The rest.
    #[command(flatten)]
    pub common: Common,
}

/// Settings of `demo`.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// The loopback address to listen on, IP:PORT; port 0 takes any that is free
    #[arg(
        long,
        env = "SYNAPPS_DEMO_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:0"
    )]
    pub listen: SocketAddr,

    /// Leaves the service up after the run, until Ctrl-C
    #[arg(long, env = "SYNAPPS_KEEP_SERVING", value_parser = clap::builder::BoolishValueParser::new())]
    pub keep_serving: bool,

    /// Its Postgres.
    #[command(flatten)]
    pub private: Private,

    /// The rest.
    #[command(flatten)]
    pub common: Common,
}

/// Settings of `health`.
#[derive(Debug, clap::Args)]
pub struct Health {
    /// The address to ask, HOST:PORT; the one that `serve` listens on. An address that stands for all of them, such as
    /// 0.0.0.0, means loopback
    #[arg(long, env = "SYNAPPS_LISTEN", value_name = "ADDR", default_value = DEFAULT_LISTEN)]
    pub address: String,

    /// The service to ask for, such as synapps.v1.RunService, or `liveness` for the process alone. Empty: the server as
    /// a whole
    #[arg(
        long,
        env = "SYNAPPS_HEALTH_SERVICE",
        value_name = "NAME",
        default_value = ""
    )]
    pub service: String,

    /// How long the answer may take: 1ms to 1m
    #[arg(long, env = "SYNAPPS_HEALTH_TIMEOUT", value_name = "DURATION", default_value = "3s",
          value_parser = between(Duration::from_millis(1), Duration::from_mins(1)))]
    pub timeout: Duration,
}

/// Settings of `bench`.
#[derive(Debug, clap::Args)]
pub struct Bench {
    /// The service: http://HOST:PORT
    #[arg(
        long,
        env = "SYNAPPS_BENCH_ADDRESS",
        value_name = "URL",
        default_value = "http://127.0.0.1:50051"
    )]
    pub address: String,

    /// What is done to it; several with a comma between them. Unset: all, one after the other
    #[arg(
        long,
        env = "SYNAPPS_BENCH_WORKLOAD",
        value_name = "NAME",
        value_delimiter = ',',
        ignore_case = true
    )]
    pub workload: Vec<Workload>,

    /// How many clients call at once, where a workload has more than one: 1 to 1,024
    #[arg(long, env = "SYNAPPS_BENCH_CLIENTS", value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub clients: u16,

    /// How long each workload is measured: 1s to 10m, and half of it more for the figures of one client
    #[arg(long, env = "SYNAPPS_BENCH_WINDOW", value_name = "DURATION", default_value = "10s",
          value_parser = between(Duration::from_secs(1), Duration::from_mins(10)))]
    pub window: Duration,

    /// Prints one JSON document at the end instead of lines
    #[arg(long, env = "SYNAPPS_BENCH_JSON", value_parser = clap::builder::BoolishValueParser::new())]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Switch;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["synapps"], arguments].concat())
    }

    fn refusal(arguments: &[&str]) -> String {
        let url = ["serve", "--database-url", "postgres://u:hunter2@h/d"];
        parse(&[&url, arguments].concat()).unwrap_err().to_string()
    }

    #[test]
    fn the_definition_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_value_out_of_bounds_is_named_with_flag_and_bound() {
        for (flag, value, bound) in [
            ("--max-concurrent-steps", "0", "1..=100000"),
            ("--max-concurrent-steps", "100001", "1..=100000"),
            ("--lease", "1s", "2s to 1m"),
            ("--drain-timeout", "0s", "1s to 10m"),
            ("--max-payload-bytes", "67108865", "1024..=67108864"),
            ("--max-queued-runs", "0", "1..=10000000"),
            ("--notify", "maybe", "on, off"),
            ("--lease", "soon", "a whole number and a unit"),
        ] {
            let text = refusal(&[flag, value]);

            assert!(text.contains(flag), "{text}");
            assert!(text.contains(value), "{text}");
            assert!(text.contains(bound), "{text}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_help() {
        let cli = parse(&["serve", "--database-url", "postgres://u:hunter2@h/d"]).unwrap();
        let shown = format!("{cli:?}");
        let Command::Serve(serve) = cli.command else {
            panic!("serve was asked for");
        };
        let config = serve.config();

        assert_eq!(config.listen.listen.to_string(), "127.0.0.1:50051");
        assert_eq!(config.execution.max_concurrent_steps, 256);
        assert_eq!(config.execution.lease, Duration::from_secs(15));
        assert_eq!(config.limits.max_payload_bytes, 16 << 20);
        assert_eq!(config.limits.max_queued_runs, 100_000);
        assert_eq!(config.limits.max_queued_runs_per_namespace, 20_000);
        assert_eq!(config.execution.notify, Switch::On);
        assert!(config.database.direct_url.is_none());
        assert_eq!(config.database.migrate, Migrate::Auto);
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn every_setting_has_its_variable_and_a_help() {
        use clap::CommandFactory;
        for command in Cli::command().get_subcommands() {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                if ["help", "version", "status"].contains(&name) {
                    continue;
                }
                assert!(argument.get_help().is_some(), "{name}");
                let variable = argument.get_env().and_then(|name| name.to_str());
                let known = variable.is_some_and(|name| {
                    // Those of providers have the names that their own tools read.
                    let of_provider = name.ends_with("_API_KEY") || name.ends_with("_BASE_URL");
                    name == "DATABASE_URL" || name.starts_with("SYNAPPS_") || of_provider
                });
                assert!(known, "{name}: {variable:?}");
            }
        }
    }
}
