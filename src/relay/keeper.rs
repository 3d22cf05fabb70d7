//! Which runs are followed: those that are watched here and driven by another replica that can be reached.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::follow::{Ended, follow};
use super::peers::Peers;
use crate::engine::Engine;
use crate::ids::{ExecutorId, RunKey};
use crate::store::runs::Position;

/// How long after a watch has begun it is looked for its run: runs that were asked for together are looked for together,
/// and one that starts here has a driver by then.
const GATHER: Duration = Duration::from_millis(15);

/// Follows runs; there is one in a process.
pub(super) struct Keeper {
    engine: Engine,
    peers: Peers,
    following: HashMap<RunKey, Following>,
    tasks: JoinSet<(RunKey, Ended)>,
}

/// A run that is followed.
struct Following {
    owner: ExecutorId,
    stop: CancellationToken,
    task: AbortHandle,
}

impl Keeper {
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            engine,
            peers: Peers::default(),
            following: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Follows what is to be followed, for ever.
    pub(super) async fn run(mut self) {
        let mut positions = self.engine.positions();
        let hub = self.engine.hub().clone();
        loop {
            tokio::select! {
                () = hub.looked_for() => {
                    tokio::time::sleep(GATHER).await;
                    self.look_for(hub.take_fresh()).await;
                }
                polled = positions.changed() => {
                    if polled.is_err() {
                        // The engine is gone.
                        return;
                    }
                    let found = positions.borrow_and_update().clone();
                    self.leave_those_here();
                    self.consider(&found);
                    self.peers.close_idle();
                }
                Some(ended) = self.tasks.join_next() => self.take_leave(ended),
                () = self.peers.idle() => self.peers.close_idle(),
            }
        }
    }

    /// Finds out who drives these runs. What cannot be found out now is at the next poll.
    async fn look_for(&mut self, keys: Vec<RunKey>) {
        match self.engine.locate(keys).await {
            Ok(found) => self.consider(&found),
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "runs that are watched cannot be looked for yet"
                );
            }
        }
    }

    /// Follows each of these runs that has an owner elsewhere.
    fn consider(&mut self, found: &[Position]) {
        for position in found {
            let key = &position.key;
            let owner = position.owner;
            if let Some(following) = self.following.get(key) {
                if owner.is_some_and(|owner| owner != following.owner) {
                    // Its end has the run looked for again.
                    following.stop.cancel();
                }
                continue;
            }
            let followed = owner
                .filter(|owner| *owner != self.engine.executor())
                .zip(position.address.as_deref())
                .is_some_and(|(owner, address)| self.begin(key, owner, address));
            if !followed {
                self.engine.hub().only_polled(key);
            }
        }
    }

    /// Begins to follow a run; says whether there is a way to its owner.
    fn begin(&mut self, key: &RunKey, owner: ExecutorId, address: &str) -> bool {
        let Some(peer) = self.peers.find(owner, address) else {
            return false;
        };
        let stop = CancellationToken::new();
        let (engine, followed, stopped) = (self.engine.clone(), key.clone(), stop.clone());
        let task = self.tasks.spawn(async move {
            let following = follow(&engine, &followed, &peer);
            let ended = stopped.run_until_cancelled(following).await;
            (followed, ended.unwrap_or(Ended::Left))
        });
        let following = Following { owner, stop, task };
        self.following.insert(key.clone(), following);
        true
    }

    /// Stops to follow what this process drives itself by now.
    fn leave_those_here(&self) {
        for (key, following) in &self.following {
            if self.engine.drives(key) {
                following.stop.cancel();
            }
        }
    }

    fn take_leave(&mut self, ended: Result<(RunKey, Ended), tokio::task::JoinError>) {
        match ended {
            Ok((key, ended)) => {
                self.following.remove(&key);
                match ended {
                    // Those who came after the last watcher had left are told where the run is as well.
                    Ended::Unwatched | Ended::Left => self.engine.hub().look_again(&key),
                    // The next poll tries again.
                    Ended::Refused => {}
                }
            }
            Err(error) => {
                error!(
                    error = &error as &dyn std::error::Error,
                    "following a run failed, which is a bug"
                );
                self.following.retain(|_, one| !one.task.is_finished());
            }
        }
    }
}
