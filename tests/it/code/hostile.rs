//! Programs that mean harm: each ends with the error that its first line names, and has reached nothing.

use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Ended, program, run, run_with, set_timeout};
use crate::support::binary::Binary;

/// What no program may read.
const SECRET: &str = "canary-4711";

/// How many are tried at once.
const AT_ONCE: usize = 16;

/// A program of the corpus.
#[derive(Debug)]
struct Hostile {
    path: PathBuf,
    code: String,
    /// Reasons, any of which it may end with; `SUCCESS` for one that reports what it has reached, which is nothing.
    expected: Vec<String>,
}

impl Hostile {
    fn read(path: PathBuf) -> Self {
        let code = std::fs::read_to_string(&path).unwrap();
        let first = code.lines().next().unwrap_or_default();
        let (_, expected) = first
            .split_once("expect: ")
            .unwrap_or_else(|| panic!("{} does not say what to expect", path.display()));
        Self {
            expected: expected.split(" or ").map(str::to_owned).collect(),
            path,
            code,
        }
    }

    fn all(language: &str) -> Vec<Self> {
        let folder = format!(
            "{}/tests/it/code/hostile/{language}",
            env!("CARGO_MANIFEST_DIR")
        );
        let mut paths: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths.into_iter().map(Self::read).collect()
    }

    fn waits(&self) -> bool {
        self.expected.iter().any(|reason| reason == "TIMEOUT")
    }

    /// What is wrong with how it has ended.
    fn judge(&self, ended: &Ended) -> Option<String> {
        let reason = match ended.reason.as_str() {
            "" => "SUCCESS",
            reason => reason,
        };
        let name = self.path.file_name().unwrap_or_default().display();
        println!("{name}: {reason} {}", ended.message);
        if !self.expected.iter().any(|expected| expected == reason) {
            return Some(format!("{name}: not {:?} but {ended:?}", self.expected));
        }
        let reached =
            reason == "SUCCESS" && !matches!(&ended.output, Value::Array(list) if list.is_empty());
        let told = format!("{ended:?}");
        (reached || told.contains(SECRET)).then(|| format!("{name}: reached something: {told}"))
    }
}

/// Things that programs try to reach.
struct Canaries {
    directory: TempDir,
    tcp: TcpListener,
    socket: UnixListener,
    named: UnixListener,
    name: String,
}

impl Canaries {
    fn set_out() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("canary"), SECRET).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = UnixListener::bind(directory.path().join("socket")).unwrap();
        let name = format!("synapps-canary-{}", uuid::Uuid::new_v4());
        let address = UnixAddr::from_abstract_name(&name).unwrap();
        let named = UnixListener::bind_addr(&address).unwrap();
        tcp.set_nonblocking(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        named.set_nonblocking(true).unwrap();
        Self {
            directory,
            tcp,
            socket,
            named,
            name,
        }
    }

    fn input(&self, server: &Binary) -> Value {
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        let address: SocketAddr = self.tcp.local_addr().unwrap();
        json!({
            "file": path("canary"),
            "directory": self.directory.path().display().to_string(),
            "socket": path("socket"),
            "abstract": self.name,
            "port": address.port(),
            "pid": server.pid().as_raw_pid(),
        })
    }

    fn assert_untouched(&self) {
        let mut names: Vec<_> = std::fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["canary", "socket"]);
        let canary = std::fs::read_to_string(self.directory.path().join("canary")).unwrap();
        assert_eq!(canary, SECRET);
        assert!(self.tcp.accept().is_err(), "somebody has connected");
        assert!(self.socket.accept().is_err(), "somebody has connected");
        assert!(self.named.accept().is_err(), "somebody has connected");
        for left in ["hostile", "hostile-link", "hostile-pipe", "hostile-device"] {
            for folder in ["/tmp", "/dev/shm"] {
                let path = format!("{folder}/synapps-{left}");
                assert!(!Path::new(&path).exists(), "{path}");
            }
        }
    }
}

/// Runs all programs of a language, and gives what is wrong with how they ended.
async fn complaints(server: &Binary, language: &str, input: &Value) -> Vec<String> {
    let all = Hostile::all(language);
    assert!(all.len() >= 60, "{}", all.len());
    let limits = json!({"cpu_time_seconds": 1, "memory_limit_mb": 64, "max_output_bytes": 4096});
    // Those that wait for ever come after the others, which would keep them from their turn.
    let (waiting, busy): (Vec<_>, Vec<_>) = all.into_iter().partition(Hostile::waits);
    let mut complaints = Vec::new();
    for (programs, seconds) in [(busy, 110), (waiting, 6)] {
        let runs = programs.iter().map(async |hostile| {
            let mut flow = program("hostile", language, &hostile.code, &limits);
            let node = flow.nodes.iter_mut().find(|node| node.id == "code");
            set_timeout(node.unwrap(), seconds, 0);
            hostile.judge(&run_with(server, flow, input).await)
        });
        let found: Vec<_> = futures_util::stream::iter(runs)
            .buffer_unordered(AT_ONCE)
            .filter_map(async |complaint| complaint)
            .collect()
            .await;
        complaints.extend(found);
    }
    complaints
}

async fn try_all(language: &str) {
    let server = Binary::start(&["--code-sandbox=required"]).await;
    let canaries = Canaries::set_out();
    let input = canaries.input(&server);

    let complaints = complaints(&server, language, &input).await;

    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    canaries.assert_untouched();
    // The service is what it was, and nobody is left but those that wait for the next programs.
    let again = run(&server, language, "result = data", &json!([7])).await;
    assert_eq!(again.output(), json!([7]));
    super::processes::nobody_is_left(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_python_reaches_nothing() {
    try_all("python").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_javascript_reaches_nothing() {
    try_all("javascript").await;
}
