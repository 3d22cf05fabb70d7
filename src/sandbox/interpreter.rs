//! The system's Python: where its program, its library and all that they load are, which is what the jail lets it read.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::Command;

/// How long the interpreter may take to tell of itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is asked of it: which files it has mapped once it has loaded what the bootstrap loads.
const QUESTION: &str = r#"
import ctypes, json, linecache, math, os, re, socket, sys, traceback
directories = [path for path in sys.path if os.path.isdir(path)]
# Of what the library itself needs, only what was loaded can be told: all that a program may want.
for name in "zlib _bz2 _lzma _hashlib _sqlite3 pyexpat _decimal _uuid unicodedata _elementtree _zoneinfo".split():
    try:
        __import__(name)
    except ImportError:
        pass
files = {os.path.realpath(sys.executable), "/etc/ld.so.cache", "/dev/null"}
with open("/proc/self/maps") as maps:
    for line in maps:
        parts = line.split(None, 5)
        if len(parts) == 6 and parts[5].startswith("/"):
            files.add(os.path.realpath(parts[5].strip()))
print(json.dumps({
    "executable": os.path.realpath(sys.executable),
    "version": sys.version.split()[0],
    "directories": [os.path.realpath(path) for path in directories] + ["/usr/share/zoneinfo"],
    "files": sorted(path for path in files if os.path.isfile(path)),
}))
"#;

/// A Python interpreter.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Interpreter {
    /// Its program, with all links followed.
    pub executable: PathBuf,
    /// `3.11.7`.
    pub version: String,
    /// Its library.
    pub directories: Vec<PathBuf>,
    /// Its program and the system's libraries that it loads.
    pub files: Vec<PathBuf>,
}

/// Why there is no interpreter.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be started.
    #[error("{} cannot be started", .0.display())]
    Start(PathBuf, #[source] std::io::Error),
    /// It does not tell of itself.
    #[error("{} does not answer as Python 3 with ctypes does: {answer}", program.display())]
    Answer {
        /// What was asked.
        program: PathBuf,
        /// What it says instead.
        answer: String,
    },
}

impl Interpreter {
    /// Asks an interpreter about itself; a name without a slash is looked for on the path.
    ///
    /// # Errors
    ///
    /// When it is not there, or is none.
    pub async fn find(program: &Path) -> Result<Self, Error> {
        let mut command = Command::new(program);
        command
            .args(["-I", "-S", "-B", "-c", QUESTION])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let answer = |answer: String| Error::Answer {
            program: program.to_owned(),
            answer,
        };
        let output = tokio::time::timeout(PATIENCE, command.output())
            .await
            .map_err(|_| answer(format!("not within {} s", PATIENCE.as_secs())))?
            .map_err(|error| Error::Start(program.to_owned(), error))?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            let last = complaint.trim().lines().last().unwrap_or("no answer");
            answer(last.to_owned())
        })
    }
}
