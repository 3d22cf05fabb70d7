//! The unprivileged user as whom the server runs when this process is root: Postgres refuses to be root.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use std::os::unix::process::CommandExt;

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// Its name, for messages.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
}

/// Why there is no such user.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither of the two that are looked for.
    #[error(
        "Postgres refuses to run as root, and there is neither a user postgres nor a user nobody to run it as. Start \
         synapps as another user"
    )]
    None,
}

impl Account {
    /// Who is to run a server on this data: `None` for the user of this process, and as root the owner of the data,
    /// else `postgres`, else `nobody`.
    pub(super) fn for_data(data: &Path) -> Result<Option<Self>, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        if let Ok(owner) = fs::metadata(data)
            && owner.uid() != 0
        {
            return Ok(Some(Self {
                name: format!("number {}", owner.uid()),
                uid: owner.uid(),
                gid: owner.gid(),
            }));
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let account = ["postgres", "nobody"]
            .iter()
            .find_map(|name| find(&users, name));
        account.map(Some).ok_or(Error::None)
    }

    /// Makes `command` run as this user; the groups of root do not come along.
    pub(super) fn apply(&self, command: &mut Command) {
        // The standard library drops the supplementary groups where it changes the user as root.
        command.uid(self.uid).gid(self.gid);
    }

    /// Whether this user can pass through a directory.
    pub(super) fn may_enter(&self, dir: &fs::Metadata) -> bool {
        let bit = if dir.uid() == self.uid {
            0o100
        } else if dir.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        dir.mode() & bit != 0
    }
}

/// Looks a user up in the text of `/etc/passwd`.
fn find(users: &str, name: &str) -> Option<Account> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid: u32 = fields.nth(1)?.parse().ok()?;
        let gid: u32 = fields.next()?.parse().ok()?;
        (uid != 0).then(|| Account {
            name: name.to_owned(),
            uid,
            gid,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let users = "root:x:0:0:root:/root:/bin/bash\n\
                     postgres2:x:7:7::/:/bin/sh\n\
                     postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash\n";

        let account = find(users, "postgres").unwrap();

        assert_eq!((account.uid, account.gid), (101, 104));
        assert_eq!(find(users, "nobody"), None);
        assert_eq!(find(users, "root"), None);
    }
}
