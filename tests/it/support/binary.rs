//! The built program, as a process that can be killed and started again.

use std::net::SocketAddr;
use std::ops::Deref;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;
use tonic_health::pb::health_check_response::ServingStatus;

use super::calls::Calls;
use super::database::Database;
use super::server::with_defaults;
use super::within;

/// The program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_synapps");

/// `synapps serve` on a database of its own. Dropping it kills it.
#[derive(Debug)]
pub struct Binary {
    calls: Calls,
    address: SocketAddr,
    child: Child,
    log: Log,
    database: Database,
    flags: Vec<String>,
    program: String,
}

/// What a process has written to its standard error so far.
#[derive(Clone, Debug)]
pub struct Log {
    lines: Arc<watch::Sender<Vec<String>>>,
}

impl Log {
    fn of(stderr: ChildStderr) -> Self {
        let lines = Arc::new(watch::Sender::new(Vec::new()));
        let log = Self {
            lines: Arc::clone(&lines),
        };
        tokio::spawn(async move {
            let mut stderr = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = stderr.next_line().await {
                lines.send_modify(|lines| lines.push(line));
            }
        });
        log
    }

    /// All of it.
    pub fn text(&self) -> String {
        self.lines.borrow().join("\n")
    }

    /// The first line that contains this text, if it is there.
    pub fn find(&self, part: &str) -> Option<String> {
        let lines = self.lines.borrow();
        lines.iter().find(|line| line.contains(part)).cloned()
    }

    /// The first line that contains this text, once it is there.
    pub async fn line_with(&self, part: &str) -> String {
        let mut lines = self.lines.subscribe();
        let find = |lines: &Vec<String>| lines.iter().find(|line| line.contains(part)).cloned();
        let wait = lines.wait_for(|lines| find(lines).is_some());
        let lines = tokio::time::timeout(super::PATIENCE, wait).await;
        let lines = lines.unwrap_or_else(|_| panic!("nothing says {part:?}:\n{}", self.text()));
        find(&lines.unwrap()).unwrap()
    }
}

impl Binary {
    /// Starts the program on a migrated database of its own and waits until it serves.
    pub async fn start(flags: &[&str]) -> Self {
        Self::start_on(&Database::migrated().await, flags).await
    }

    /// Starts the program on this database, on any free port, with these flags (`--flag=value`) and those of
    /// [`FLAGS`](super::server::FLAGS) that they do not replace.
    pub async fn start_on(database: &Database, flags: &[&str]) -> Self {
        Self::start_armed(database, flags, "").await
    }

    /// Starts the program with these crash points (`journal.move.after=3*off->1*return(kill)`), which a restart does not
    /// have again: see `synapps::crash_points`.
    pub async fn start_armed(database: &Database, flags: &[&str], points: &str) -> Self {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        Self::launch(PROGRAM.to_owned(), database.clone(), flags, points).await
    }

    /// Starts the program of the release before this one, whose path is in `SYNAPPS_TEST_PREVIOUS`: `None`, with a word
    /// about it, where it is not set. `scripts/previous-binary` makes it.
    pub async fn start_previous(database: &Database, flags: &[&str]) -> Option<Self> {
        let Ok(program) = std::env::var("SYNAPPS_TEST_PREVIOUS") else {
            println!("left out: SYNAPPS_TEST_PREVIOUS is not set (scripts/previous-binary)");
            return None;
        };
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        Some(Self::launch(program, database.clone(), flags, "").await)
    }

    async fn launch(program: String, database: Database, flags: Vec<String>, points: &str) -> Self {
        let mut all = with_defaults(&flags);
        let url = if program == PROGRAM {
            all.extend(database.service_flags());
            database.service_url()
        } else {
            // The program before this one knows nothing of these.
            all.retain(|flag| !flag.starts_with("--notify="));
            database.url()
        };
        let mut child = command_of(&program, &["serve", "--log-format=json"])
            .args(all)
            .env("DATABASE_URL", url)
            .env("FAILPOINTS", points)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        let line = log.line_with("\"serving\"").await;
        let address = address_in(&line);
        let calls = Calls::to(address);
        calls.health_becomes("", ServingStatus::Serving).await;
        Self {
            calls,
            address,
            child,
            log,
            database,
            flags,
            program,
        }
    }

    /// Starts it again, after it has ended, on the same address and database.
    pub async fn restart(mut self) -> Self {
        self.flags.retain(|flag| !flag.starts_with("--listen="));
        self.flags.push(format!("--listen={}", self.address));
        Self::launch(self.program, self.database, self.flags, "").await
    }

    /// Kills it as a crash does: it cannot do anything about it.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// Tells it to stop, and gives how it has ended.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// How it has ended, once it has.
    pub async fn ended(&mut self) -> ExitStatus {
        within("the end of the program", self.child.wait())
            .await
            .unwrap()
    }

    /// How it has ended, however long that takes.
    pub async fn dies(&mut self) -> ExitStatus {
        self.child.wait().await.unwrap()
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        let pid = self.child.id().expect("the program runs");
        Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
    }

    /// The name of this start of it in the database: whose runs are its own.
    pub fn executor(&self) -> String {
        let line = self.log.find("the executor is at work");
        let line = line.expect("it says so before it serves");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let fields = line.get("fields").unwrap_or(&line);
        fields["executor.id"].as_str().unwrap().to_owned()
    }

    /// What it has written to its standard error.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its database.
    pub fn database(&self) -> &Database {
        &self.database
    }
}

impl Deref for Binary {
    type Target = Calls;

    fn deref(&self) -> &Calls {
        &self.calls
    }
}

/// Runs the program to its end.
pub async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let output = command(arguments)
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .output();
    within("the end of the program", output).await.unwrap()
}

/// The program, without what this process has been set in its environment, killed when the test ends.
fn command(arguments: &[&str]) -> Command {
    command_of(PROGRAM, arguments)
}

/// The same of another build of it.
fn command_of(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars() {
        if name.starts_with("SYNAPPS_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The address in the line that is logged at the start.
fn address_in(line: &str) -> SocketAddr {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let address = line["fields"]["address"]
        .as_str()
        .or(line["address"].as_str());
    address.expect("the line has the address").parse().unwrap()
}
