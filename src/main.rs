//! The command line: parses, calls, prints; nothing else.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use synapps::cli::{Cli, Command, Health, MigrateArgs, Rotate, SecretsCommand, Serve};
use synapps::config::listen::reachable;
use synapps::demo::{Demo, hello};
use synapps::dev::{self, Dev};
use synapps::secrets::rotation;
use synapps::server::signals::Signals;
use synapps::server::{self, Server, probe};
use synapps::store::{Store, migrate};
use synapps::{bench, cli, telemetry};

/// What a command ends with.
type Outcome = Result<ExitCode, Box<dyn Error>>;

/// How long threads may take to end that are busy with a computation nobody waits for any more.
const THREADS_TIMEOUT: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    // A child that runs code has nothing of a service, and so comes before anything of one.
    if let Some(code) = synapps::sandbox::child::run_if_asked(std::env::args_os()) {
        return code;
    }
    // Held until the process ends.
    let _armed = synapps::crash_points::arm();
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("synapps: {}", in_one_line(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Outcome {
    let default_filter = match cli.command {
        // What it prints is for people who want to see a run.
        Command::Demo(_) | Command::Bench(_) => "warn",
        _ => "info",
    };
    telemetry::set_up(&cli.log, default_filter)?;
    // Two providers are in the program, so rustls cannot choose by itself.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("a TLS provider is installed already");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Serve(arguments) => serve(*arguments).await,
            Command::Migrate(arguments) => migrate(arguments).await,
            Command::Dev(arguments) => dev(*arguments).await,
            Command::Demo(arguments) => demo(*arguments).await,
            Command::Secrets(SecretsCommand::Rotate(arguments)) => rotate(arguments).await,
            Command::Health(arguments) => health(arguments).await,
            Command::Bench(arguments) => bench(arguments).await,
        }
    });
    runtime.shutdown_timeout(THREADS_TIMEOUT);
    outcome
}

async fn serve(arguments: Serve) -> Outcome {
    let config = arguments.config();
    let mut signals = Signals::take()?;
    let server = tokio::select! {
        server = Server::start(&config) => server?,
        signal = signals.next() => return Ok(stopped_early(signal)),
    };
    announce(&server);
    let signal = signals.next().await;
    tracing::info!(signal, "stopping");
    tokio::select! {
        stopped = server.stop() => stopped?,
        signal = signals.next() => return Ok(stopped_early(signal)),
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

async fn dev(arguments: cli::Dev) -> Outcome {
    let mut signals = Signals::take()?;
    let place = dev::place(&arguments.private)?;
    let starting = Dev::start(
        arguments.listen,
        place,
        &arguments.private,
        arguments.common,
    );
    let dev = tokio::select! {
        dev = starting => dev?,
        signal = signals.next() => return Ok(stopped_early(signal)),
    };
    announce(dev.server());
    tracing::info!(
        url = dev.url(),
        dir = %dev.cluster().dir().display(),
        "the private Postgres is up"
    );
    println!("{}", hello(reachable(dev.server().address()))?);
    until_stopped(dev, signals).await
}

async fn demo(arguments: cli::Demo) -> Outcome {
    let mut signals = Signals::take()?;
    let keep_serving = arguments.keep_serving;
    let demo = tokio::select! {
        demo = Demo::start(arguments) => demo?,
        signal = signals.next() => return Ok(stopped_early(signal)),
    };
    let mut out = io::stdout();
    let shown = tokio::select! {
        shown = demo.show(&mut out) => shown.map(|()| ExitCode::SUCCESS),
        signal = signals.next() => {
            tracing::info!(signal, "stopping");
            Ok(ExitCode::FAILURE)
        }
    };
    if keep_serving && shown.as_ref().is_ok_and(|code| *code == ExitCode::SUCCESS) {
        println!("{}", demo.again());
        // The shop stays open for whoever runs the flow again.
        let (dev, _shop) = demo.into_dev();
        return until_stopped(dev, signals).await;
    }
    let (dev, _shop) = demo.into_dev();
    dev.stop().await?;
    Ok(shown?)
}

/// Serves until a signal comes or Postgres ends.
async fn until_stopped(dev: Dev, mut signals: Signals) -> Outcome {
    let code = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "stopping");
            ExitCode::SUCCESS
        }
        () = dev.cluster().ended() => {
            tracing::error!("the private Postgres has ended by itself; its log says why");
            ExitCode::FAILURE
        }
    };
    tokio::select! {
        stopped = dev.stop() => stopped?,
        signal = signals.next() => return Ok(stopped_early(signal)),
    }
    tracing::info!("stopped");
    Ok(code)
}

async fn migrate(arguments: MigrateArgs) -> Outcome {
    // Locks of migrations last for a session.
    let url = arguments.direct.direct_url.as_ref();
    let url = url.unwrap_or(&arguments.database_url);
    let settings = server::store_settings(url, &arguments.pool);
    let store = Store::connect(&settings).await?;
    if !arguments.status {
        let applied = migrate::run(&store).await?;
        for version in &applied {
            println!("migrated {version}");
        }
        if applied.is_empty() {
            println!("the schema is up to date");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let status = migrate::status(&store).await?;
    for (what, versions) in [
        ("applied", &status.applied),
        ("applied by a newer version", &status.unknown),
        ("pending", &status.pending),
    ] {
        for version in versions {
            println!("{what} {version}");
        }
    }
    if status.pending.is_empty() {
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

async fn rotate(arguments: Rotate) -> Outcome {
    let keys = arguments
        .secrets
        .find_keys()?
        .ok_or("there is no key to seal with: set --secrets-key or --secrets-key-file")?;
    let settings = server::store_settings(&arguments.database_url, &arguments.pool);
    let store = Store::connect(&settings).await?;
    migrate::check(&store).await?;
    let rotated = rotation::rotate(&store, &keys).await?;
    println!(
        "sealed {} with key {}; changed meanwhile: {}, unreadable: {}",
        rotated.resealed,
        keys.first_id(),
        rotated.gone,
        rotated.unreadable
    );
    if rotated.unreadable == 0 {
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

async fn health(arguments: Health) -> Outcome {
    let address = match arguments.address.parse() {
        Ok(address) => reachable(address).to_string(),
        Err(_) => arguments.address,
    };
    probe::probe(&address, &arguments.service, arguments.timeout).await?;
    println!("SERVING");
    Ok(ExitCode::SUCCESS)
}

async fn bench(arguments: cli::Bench) -> Outcome {
    let mut signals = Signals::take()?;
    let mut out = io::stdout();
    tokio::select! {
        measured = bench::command::run(&arguments, &mut out) => measured?,
        signal = signals.next() => {
            eprintln!("flows whose ids begin with bench- are left behind");
            return Ok(stopped_early(signal));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The one line of a start.
fn announce(server: &Server) {
    tracing::info!(
        address = %server.address(),
        schema = server.about().schema,
        postgres = server.about().postgres,
        version = cli::VERSION,
        "serving"
    );
}

/// Whoever asks twice, or before there is anything to end in order, does not want to wait.
fn stopped_early(signal: &str) -> ExitCode {
    tracing::warn!(signal, "stopping at once");
    ExitCode::FAILURE
}

/// An error and its causes, unless one repeats what was said.
fn in_one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
