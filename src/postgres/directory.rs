//! The directory of a cluster: data, log, socket, and the lock that says whose it is.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use super::Place;
use super::account::Account;
use super::leftover;

/// How the names of temporary directories start.
const PREFIX: &str = "synapps-";

/// The longest path of a socket that all systems take: 104 bytes with the NUL on macOS, 108 on Linux.
const MAX_SOCKET_PATH: usize = 103;

/// The name of the socket in its directory.
const SOCKET_NAME: &str = ".s.PGSQL.5432";

/// A directory that was given up less than this ago is not swept: its owner may be about to lock it.
const SWEEP_AGE: Duration = Duration::from_mins(1);

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it.
    #[error(
        "{} is in use by another synapps (it holds {}). Stop that one, or choose another --data-dir",
        dir.display(), lock.display()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The file that is locked.
        lock: PathBuf,
    },
    /// The user who runs the server cannot get there.
    #[error(
        "Postgres cannot be run as root, and the user {user} may not enter {}. Choose another --data-dir, such as \
         /var/lib/synapps/postgres",
        dir.display()
    )]
    Closed {
        /// Who runs the server.
        user: String,
        /// The first directory on the way that is closed.
        dir: PathBuf,
    },
    /// There is something, but it is no cluster.
    #[error("{} holds something that is no Postgres cluster", .0.display())]
    Foreign(PathBuf),
    /// The file system refused something.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        action,
        path,
        source,
    }
}

/// The directory of one cluster, held by this process.
#[derive(Debug)]
pub(super) struct Directory {
    base: PathBuf,
    socket: PathBuf,
    ephemeral: bool,
    // Locked for as long as it is open, so until this process ends in whatever way.
    _lock: File,
}

impl Directory {
    /// Makes the directory unless it is there, and takes its lock.
    pub(super) fn claim(place: &Place) -> Result<Self, Error> {
        let (base, ephemeral) = match place {
            Place::Kept(dir) => {
                let dir =
                    std::path::absolute(dir).map_err(io_error("find the absolute path of", dir))?;
                (dir, false)
            }
            Place::Ephemeral => {
                sweep(&temp_dir());
                (temp_dir().join(temp_name()), true)
            }
        };
        private_dir(&base)?;
        let lock = lock(&base)?;
        let mut socket = base.join("run");
        if !fits(&socket) {
            socket = temp_dir().join(temp_name());
        }
        private_dir(&socket)?;
        Ok(Self {
            base,
            socket,
            ephemeral,
            _lock: lock,
        })
    }

    /// Gives the directories to the user who runs the server, if that is another one.
    pub(super) fn hand_to(&mut self, account: Option<&Account>) -> Result<(), Error> {
        let Some(account) = account else {
            return Ok(());
        };
        for path in [&self.base, &self.socket] {
            std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))
                .map_err(io_error("change the owner of", path))?;
            for dir in path.ancestors() {
                let known = fs::metadata(dir).map_err(io_error("look at", dir))?;
                if !account.may_enter(&known) {
                    return Err(Error::Closed {
                        user: account.name.clone(),
                        dir: dir.to_owned(),
                    });
                }
            }
        }
        Ok(())
    }

    /// The directory that holds everything.
    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    /// What Postgres calls its data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.base.join("data")
    }

    /// Where a cluster is made before it is complete.
    pub(super) fn unfinished_data(&self) -> PathBuf {
        self.base.join("data.new")
    }

    /// What the server writes for people.
    pub(super) fn log(&self) -> PathBuf {
        self.base.join("postgres.log")
    }

    /// The directory of the socket.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The major version of the data; `None` if there is none yet.
    pub(super) fn data_version(&self) -> Result<Option<u32>, Error> {
        let data = self.data();
        let path = data.join("PG_VERSION");
        match fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse() {
                Ok(version) => Ok(Some(version)),
                Err(_) => Err(Error::Foreign(data)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if data.exists() {
                    return Err(Error::Foreign(data));
                }
                Ok(None)
            }
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let mut gone = Vec::new();
        if !self.socket.starts_with(&self.base) {
            gone.push(&self.socket);
        }
        if self.ephemeral {
            gone.push(&self.base);
        }
        for dir in gone {
            if let Err(error) = fs::remove_dir_all(dir) {
                tracing::warn!(path = %dir.display(), %error, "cannot remove a temporary directory");
            }
        }
    }
}

fn fits(socket_dir: &Path) -> bool {
    let path = socket_dir.join(SOCKET_NAME);
    let bytes = path.as_os_str().as_encoded_bytes();
    // Postgres reads a comma as the end of one directory and the start of another.
    bytes.len() <= MAX_SOCKET_PATH && !bytes.contains(&b',') && !bytes.contains(&b'"')
}

/// Where temporary directories go: what the system says, unless a socket in there would have too long a path.
fn temp_dir() -> PathBuf {
    let dir = std::env::temp_dir();
    if dir.is_absolute() && fits(&dir.join(temp_name()).join("run")) {
        dir
    } else {
        PathBuf::from("/tmp")
    }
}

fn temp_name() -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("{PREFIX}{}", &random[..12])
}

/// Makes a directory that only its owner can enter, or closes one that is there.
fn private_dir(dir: &Path) -> Result<(), Error> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent).map_err(io_error("make", parent))?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(dir, Permissions::from_mode(0o700))
        }
        made => made,
    }
    .map_err(io_error("make", dir))
}

fn lock(base: &Path) -> Result<File, Error> {
    let path = base.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse {
            dir: base.to_owned(),
            lock: path,
        }),
        Err(TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
    }
}

/// Removes temporary directories of processes that were killed. What cannot be removed now is left to the next one.
fn sweep(temp: &Path) {
    for entry in fs::read_dir(temp).into_iter().flatten().flatten() {
        let dir = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let path = dir.join("lock");
        let old = fs::symlink_metadata(&path).is_ok_and(|known| {
            let age = known.modified().ok().and_then(|time| time.elapsed().ok());
            known.is_file() && age.is_some_and(|age| age > SWEEP_AGE)
        });
        // Held for as long as the removal takes.
        let free = old.then(|| lock(&dir)).and_then(Result::ok);
        if free.is_some()
            && leftover::clear(&dir.join("data")).is_ok()
            && let Err(error) = fs::remove_dir_all(&dir)
        {
            tracing::debug!(path = %dir.display(), %error, "cannot remove a temporary directory");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_claim_is_refused_until_the_first_is_gone() {
        let temp = tempfile::tempdir().unwrap();
        let place = Place::Kept(temp.path().join("kept"));

        let first = Directory::claim(&place).unwrap();
        let second = Directory::claim(&place).unwrap_err();
        drop(first);

        assert!(matches!(second, Error::InUse { .. }), "{second}");
        assert!(Directory::claim(&place).is_ok());
    }

    #[test]
    fn a_long_path_gets_a_socket_elsewhere() {
        let temp = tempfile::tempdir().unwrap();
        let long = temp.path().join("d".repeat(120));

        let directory = Directory::claim(&Place::Kept(long.clone())).unwrap();
        let socket = directory.socket().to_owned();

        assert!(fits(&socket), "{}", socket.display());
        assert!(!socket.starts_with(&long));
        drop(directory);
        assert!(!socket.exists());
    }

    #[test]
    fn an_ephemeral_directory_goes_with_its_owner() {
        let directory = Directory::claim(&Place::Ephemeral).unwrap();
        let base = directory.base().to_owned();
        let mode = fs::metadata(&base).unwrap().permissions().mode();

        drop(directory);

        assert_eq!(mode & 0o777, 0o700);
        assert!(!base.exists());
    }
}
