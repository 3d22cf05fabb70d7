//! The keys that secrets are sealed with in the database.

use std::path::PathBuf;

use clap::Args;

use super::Secret;
use crate::secrets::{KeyRing, keys};

/// Where the keys are. Without any, secrets can be neither stored nor used.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Secrets")]
pub struct Secrets {
    /// The keys that secrets are sealed with in the database: 32 random bytes in base64 each (openssl rand -base64 32),
    /// separated by commas or line breaks. The first one seals, all of them open. Unset: none; `dev` and `demo` make
    /// one of their own
    #[arg(
        long,
        env = "SYNAPPS_SECRETS_KEY",
        value_name = "KEYS",
        hide_env_values = true,
        conflicts_with = "secrets_key_file"
    )]
    pub secrets_key: Option<Secret>,

    /// A file with these keys, in place of the keys themselves
    #[arg(long, env = "SYNAPPS_SECRETS_KEY_FILE", value_name = "FILE")]
    pub secrets_key_file: Option<PathBuf>,
}

impl Secrets {
    /// The keys; `None` if there are none.
    ///
    /// # Errors
    ///
    /// If what is set is no key, or the file cannot be read.
    pub fn find_keys(&self) -> Result<Option<KeyRing>, keys::Error> {
        match (&self.secrets_key, &self.secrets_key_file) {
            (Some(keys), _) => KeyRing::parse(keys.expose(), "SYNAPPS_SECRETS_KEY").map(Some),
            (None, Some(path)) => KeyRing::read(path).map(Some),
            (None, None) => Ok(None),
        }
    }
}
