//! Children that wait for programs, for the languages that are in use.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::child::Order;
use super::interpreter::Interpreter;
use super::jailed::Jailed;
use super::{Error, Language, Mode, Shared};

/// How long a language may go unused before nobody waits for its programs any more.
const IDLE: Duration = Duration::from_mins(1);

/// Children of one language.
#[derive(Debug)]
pub struct Pool {
    wanted: usize,
    state: Mutex<State>,
    /// That one was taken.
    taken: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Jailed>,
    used_at: Option<Instant>,
    is_refilled: bool,
}

impl Pool {
    /// A pool that keeps `wanted` children waiting once its language is used.
    pub fn new(wanted: usize) -> Self {
        Self {
            wanted,
            state: Mutex::default(),
            taken: Arc::default(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that waits, if there is one.
    fn pop(&self) -> Option<Jailed> {
        let mut state = self.state();
        state.used_at = Some(Instant::now());
        self.taken.notify_one();
        loop {
            let mut jailed = state.idle.pop()?;
            if jailed.is_alive() {
                return Some(jailed);
            }
        }
    }

    /// Whether this call is the one that has to start the refilling.
    fn begin_refilling(&self) -> bool {
        !std::mem::replace(&mut self.state().is_refilled, true)
    }

    fn is_short(&self) -> bool {
        self.state().idle.len() < self.wanted
    }

    /// Lets all go if the language has not been used for long, and says whether it did.
    fn rest(&self) -> bool {
        let mut state = self.state();
        let is_idle = state
            .used_at
            .is_none_or(|used_at| used_at.elapsed() >= IDLE);
        if is_idle {
            state.idle.clear();
            state.is_refilled = false;
        }
        is_idle
    }
}

impl Shared {
    /// A child for a program: one that waits, else a new one.
    pub(super) async fn take(&self, this: &Arc<Self>, language: Language) -> Result<Jailed, Error> {
        if self.settings.mode == Mode::Off {
            return Err(Error::Off);
        }
        let pool = self.pool(language);
        let waiting = pool.pop();
        if pool.begin_refilling() {
            let stop = self.stop.clone();
            let refilling = refill(Arc::downgrade(this), language, Arc::clone(&pool.taken));
            // Ends with the sandbox, or when nobody uses the language any more.
            tokio::spawn(async move { stop.run_until_cancelled(refilling).await });
        }
        match waiting {
            Some(jailed) => Ok(jailed),
            None => self.launch(language).await,
        }
    }

    fn pool(&self, language: Language) -> &Pool {
        match language {
            Language::Python => &self.pools[0],
            Language::Javascript => &self.pools[1],
        }
    }

    /// Starts a child.
    pub(super) async fn launch(&self, language: Language) -> Result<Jailed, Error> {
        let python = match language {
            Language::Python => Some(self.python().await?.clone()),
            Language::Javascript => None,
        };
        let order = Order {
            language,
            parent: rustix::process::getpid().as_raw_pid(),
            lenient: self.settings.mode == Mode::Degraded,
            python,
        };
        let program = self.settings.program.as_deref();
        self.launcher.launch(program, &order).await
    }

    /// The interpreter, which is looked for until it is found.
    pub(super) async fn python(&self) -> Result<&Interpreter, Error> {
        let find = || Interpreter::find(&self.settings.python);
        Ok(self.python.get_or_try_init(find).await?)
    }
}

/// Keeps a pool full for as long as it is used.
async fn refill(shared: Weak<Shared>, language: Language, taken: Arc<Notify>) {
    loop {
        loop {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            if !shared.pool(language).is_short() {
                break;
            }
            match shared.launch(language).await {
                Ok(jailed) => shared.pool(language).state().idle.push(jailed),
                Err(error) => {
                    // Whoever runs a program is told the same.
                    tracing::debug!(%language, error = %error, "no child waits for code");
                    break;
                }
            }
        }
        // Without a use in all that time there is nothing to keep.
        if tokio::time::timeout(IDLE, taken.notified()).await.is_err() {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            if shared.pool(language).rest() {
                return;
            }
        }
    }
}
