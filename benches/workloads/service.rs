//! The service as a process of its own, with the settings that it has when nobody sets any.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use synapps::server::probe::probe;
use tokio::process::{Child, Command};

use crate::Result;
use crate::processes;

/// How long it may take until it serves: recovery of Postgres and migrations included.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// How often it is asked whether it serves.
const POLL: Duration = Duration::from_millis(2);

/// How long it may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A running service. Dropping it kills it.
pub struct Service {
    child: Child,
    port: u16,
}

impl Service {
    /// Starts `synapps serve` on this database and waits until it serves.
    pub async fn start(program: &Path, url: &str) -> Result<Self> {
        Self::launch(program, &["serve"], Some(url)).await
    }

    /// Starts the program with these arguments and waits until it serves.
    pub async fn launch(program: &Path, arguments: &[&str], url: Option<&str>) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SYNAPPS_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .arg(format!("--listen=127.0.0.1:{port}"))
            // Warnings are for whoever measures; the rest would cost a write to a terminal.
            .arg("--log=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        match url {
            Some(url) => command.env("DATABASE_URL", url),
            None => command.env_remove("DATABASE_URL"),
        };
        let mut service = Self {
            child: command.spawn()?,
            port,
        };
        service.serves().await?;
        Ok(service)
    }

    async fn serves(&mut self) -> Result<()> {
        let begun = Instant::now();
        let address = format!("127.0.0.1:{}", self.port);
        loop {
            let Err(error) = probe(&address, "", Duration::from_secs(1)).await else {
                return Ok(());
            };
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the service ended while it started: {status}").into());
            }
            if begun.elapsed() > START_TIMEOUT {
                return Err(error.into());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Where it serves.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The number of its process.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.child.id().ok_or("the service has ended")?)
    }

    /// Its memory, in MiB.
    pub fn resident_mib(&self) -> Result<f64> {
        processes::resident_mib(self.pid()?)
    }

    /// Tells it to stop and waits until it has.
    pub async fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.pid()?)?;
        let pid = Pid::from_raw(pid).ok_or("the service has no process")?;
        kill_process(pid, Signal::TERM)?;
        let ended = tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await;
        let status = ended.map_err(|_| "the service does not stop")??;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the service did not stop in order: {status}").into())
        }
    }

    /// Kills it, as a crash does.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// A port that nobody listens on right now.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
