//! What the process takes from its environment beside its own settings.

use std::env;
use std::path::PathBuf;

/// Where a user's programs keep their data: `$XDG_DATA_HOME`, else `$HOME/.local/share`, by the XDG base directory
/// specification. `None` without a home directory.
#[must_use]
pub fn data_home() -> Option<PathBuf> {
    // The specification wants relative paths ignored.
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    env::var_os("XDG_DATA_HOME")
        .and_then(|path| absolute(path.into()))
        .or_else(|| {
            let home = absolute(env::var_os("HOME")?.into())?;
            Some(home.join(".local/share"))
        })
}

/// The directories of `$PATH`, in their order.
#[must_use]
pub fn search_path() -> Vec<PathBuf> {
    env::var_os("PATH").map_or_else(Vec::new, |path| env::split_paths(&path).collect())
}
