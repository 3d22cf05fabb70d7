//! The Postgres programs of this machine.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest major version that will do.
pub const OLDEST: u32 = 15;

/// Where packages put them: a directory whose children start with a prefix, and the rest of the path.
const PACKAGED: [(&str, &str, &str); 6] = [
    // Debian and Ubuntu.
    ("/usr/lib/postgresql", "", "bin"),
    // Fedora, Red Hat, and the packages of the PostgreSQL project for them.
    ("/usr", "pgsql-", "bin"),
    ("/usr/local", "pgsql", "bin"),
    // Homebrew on either kind of Mac, and Postgres.app.
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// The programs of one installed version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The server.
    pub postgres: PathBuf,
    /// What makes a cluster.
    pub initdb: PathBuf,
    /// Of the server.
    pub version: Version,
}

/// A version of Postgres, such as 15.18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Data of one major version cannot be used by another.
    pub major: u32,
    /// Mends.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Why there are no programs to use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing at all, or only what is too old.
    #[error(
        "no Postgres {OLDEST} or newer found on this machine{}. Install it with\n\n    {}\n\nor name the directory of \
         its programs by --postgres-bin; with a database elsewhere, use `synapps serve` and DATABASE_URL",
        found.map_or_else(String::new, |version| format!(", only {version}")),
        install_command(),
    )]
    Missing {
        /// The newest of those that are too old.
        found: Option<Version>,
    },
    /// The data was written by a version that is not there.
    #[error(
        "the data is of Postgres {wanted}, which is not installed (the newest that is: {found}). Install version \
         {wanted}, or choose another --data-dir"
    )]
    OtherVersion {
        /// The major version of the data.
        wanted: u32,
        /// The newest that is there.
        found: Version,
    },
    /// A directory that was named has no programs in it.
    #[error(
        "{} has no programs `postgres` and `initdb` of Postgres {OLDEST} or newer that can be run",
        .0.display()
    )]
    NotInDir(PathBuf),
}

impl Programs {
    /// The programs in a directory that somebody has named.
    ///
    /// # Errors
    ///
    /// [`Error::NotInDir`].
    pub fn in_dir(dir: &Path) -> Result<Self, Error> {
        Self::inspect(dir)
            .filter(|programs| programs.version.major >= OLDEST)
            .ok_or_else(|| Error::NotInDir(dir.to_owned()))
    }

    /// The newest programs of this machine, or those of the major version `wanted`.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] and [`Error::OtherVersion`].
    pub fn find(search_path: &[PathBuf], wanted: Option<u32>) -> Result<Self, Error> {
        let dirs: BTreeSet<PathBuf> = search_path
            .iter()
            .cloned()
            .chain(packaged())
            .filter_map(|dir| {
                // A link in $PATH often stands for the server alone; its siblings are where it leads to.
                let server = dir.join("postgres").canonicalize().ok()?;
                server.parent().map(Path::to_owned)
            })
            .collect();
        let mut found: Vec<Self> = dirs.iter().filter_map(|dir| Self::inspect(dir)).collect();
        found.sort_by_key(|programs| programs.version);

        let newest = found.last().map(|programs| programs.version);
        let Some(newest) = newest.filter(|version| version.major >= OLDEST) else {
            return Err(Error::Missing { found: newest });
        };
        found
            .into_iter()
            .rfind(|programs| wanted.is_none_or(|major| programs.version.major == major))
            .ok_or_else(|| Error::OtherVersion {
                wanted: wanted.unwrap_or(newest.major),
                found: newest,
            })
    }

    fn inspect(dir: &Path) -> Option<Self> {
        let postgres = dir.join("postgres");
        let initdb = dir.join("initdb");
        if !initdb.is_file() {
            return None;
        }
        let output = Command::new(&postgres).arg("--version").output().ok()?;
        let version = parse_version(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self {
            postgres,
            initdb,
            version,
        })
    }
}

fn packaged() -> Vec<PathBuf> {
    let children = |&(parent, prefix, rest): &(&str, &'static str, &'static str)| {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        entries
            .filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(move |entry| entry.path().join(rest))
    };
    PACKAGED.iter().flat_map(children).collect()
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`; a beta has no minor version.
fn parse_version(text: &str) -> Option<Version> {
    let number = text.split_once("(PostgreSQL) ")?.1;
    let leading = |text: &str| -> Option<u32> {
        let end = text
            .find(|character: char| !character.is_ascii_digit())
            .unwrap_or(text.len());
        text[..end].parse().ok()
    };
    let major = leading(number)?;
    let minor = number.split_once('.').and_then(|(_, rest)| leading(rest));
    Some(Version {
        major,
        minor: minor.unwrap_or(0),
    })
}

fn install_command() -> &'static str {
    let has = |path: &str| Path::new(path).exists();
    if cfg!(target_os = "macos") {
        "brew install postgresql@17"
    } else if has("/etc/debian_version") {
        "sudo apt-get install postgresql"
    } else if has("/etc/fedora-release") || has("/etc/redhat-release") {
        "sudo dnf install postgresql-server"
    } else if has("/etc/alpine-release") {
        "sudo apk add postgresql"
    } else if has("/etc/arch-release") {
        "sudo pacman -S postgresql"
    } else {
        "the package manager of this system (the package is usually called postgresql or postgresql-server)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_packagers_write_them() {
        for (text, major, minor) in [
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                15,
                18,
            ),
            ("postgres (PostgreSQL) 17.2", 17, 2),
            ("postgres (PostgreSQL) 18beta1\n", 18, 0),
        ] {
            assert_eq!(parse_version(text), Some(Version { major, minor }));
        }
        assert_eq!(parse_version("postgres: error"), None);
    }

    #[test]
    fn a_directory_without_programs_is_named() {
        let error = Programs::in_dir(Path::new("/nowhere/bin")).unwrap_err();

        assert!(error.to_string().contains("/nowhere/bin"));
    }
}
