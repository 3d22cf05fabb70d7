//! What the service says at its start about running code: found out by doing it, while the service starts.

use tracing::{info, warn};

use super::{Error, Language, Mode, Sandbox};

impl Sandbox {
    /// Finds out while others go on, or until the sandbox ends.
    pub fn probe_in_background(&self) {
        let (sandbox, stop) = (self.clone(), self.shared.stop.clone());
        // Bounded by the patience with a child that starts.
        tokio::spawn(async move { stop.run_until_cancelled(sandbox.probe()).await });
    }

    /// Starts a child of each language, and logs which layers its jail has, or what keeps code from being run.
    pub async fn probe(&self) {
        if self.shared.settings.mode == Mode::Off {
            info!("no code is run here: it is switched off");
            return;
        }
        for language in Language::ALL {
            match self.shared.launch(language).await {
                Ok(jailed) if jailed.layers.missing.is_empty() => {
                    info!(%language, layers = %jailed.layers, "code runs in a jail");
                }
                Ok(jailed) => warn!(
                    %language,
                    layers = %jailed.layers,
                    missing = jailed.layers.missing.join("; "),
                    "code runs in a jail that is not complete"
                ),
                Err(error @ Error::Interpreter(_)) => {
                    warn!(%language, error = %error, "steps in this language will fail");
                }
                Err(error) => warn!(%language, error = %error, "no code is run here"),
            }
        }
    }
}
