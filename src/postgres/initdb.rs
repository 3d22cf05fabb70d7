//! Makes a cluster: beside its place first, so that one that was not finished is never taken for one.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use super::account::Account;
use super::directory::Directory;
use super::process::stop_with_parent;
use super::programs::Programs;
use super::{Durability, Options, Place, USER};

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program failed.
    #[error("initdb could not make a cluster in {}: {output}", dir.display())]
    Failed {
        /// Where it was to be.
        dir: PathBuf,
        /// What the program said.
        output: String,
    },
    /// The program did not run, or its work could not be put in place.
    #[error("cannot make a cluster in {}", dir.display())]
    Io {
        /// Where it was to be.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Makes the cluster of a directory that has none.
pub(super) fn make(
    programs: &Programs,
    directory: &Directory,
    account: Option<&Account>,
    options: &Options,
) -> Result<(), Error> {
    let unfinished = directory.unfinished_data();
    let error = |source| Error::Io {
        dir: directory.data(),
        source,
    };
    match fs::remove_dir_all(&unfinished) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(error(source)),
        _ => {}
    }

    let mut command = Command::new(&programs.initdb);
    command
        .arg("--pgdata")
        .arg(&unfinished)
        .args(["--username", USER])
        .args(["--encoding", "UTF8", "--locale", "C"])
        // The directory of the socket lets nobody else in. There is no other way to connect, and there must be none
        // either if somebody starts the cluster by hand.
        .args(["--auth-local", "trust", "--auth-host", "reject"])
        .arg("--no-instructions")
        .env("LC_ALL", "C")
        .current_dir(directory.base());
    if options.place == Place::Ephemeral || options.durability == Durability::None {
        command.arg("--no-sync");
    }
    if let Some(account) = account {
        account.apply(&mut command);
    }
    // This thread waits for its end, so it only loses its parent if the whole process dies.
    stop_with_parent(&mut command);
    let output = command.output().map_err(error)?;
    if !output.status.success() {
        return Err(Error::Failed {
            dir: directory.data(),
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    fs::rename(&unfinished, directory.data()).map_err(error)
}
