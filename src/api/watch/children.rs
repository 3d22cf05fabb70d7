//! Events of child runs, beside those of the run that is watched.
//!
//! Each child is read by a task of its own, from its first event on, and hands what it reads to the watch. A child's
//! events are numbered by itself: a client that resumes may get those again that it has seen of a child that was open,
//! and knows them by run and sequence.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::cursor::{Admitted, Cursor};
use crate::api::Api;
use crate::api::convert::event::{Setting, Show, event};
use crate::api::status::{Error, Result};
use crate::engine;
use crate::hub::Signal;
use crate::ids::{RunId, RunKey, StepPath};
use crate::proto::ChildEvent;
use crate::run::event::{Event, Recorded};
use crate::store::events;

/// How many children are read at once; others are read later, and lose nothing by it.
const AT_ONCE: usize = 16;
/// How many messages wait for the watch to send them.
const BACKLOG: usize = 16;
/// How long a child waits before it asks a database again that is away.
const AGAIN: Duration = Duration::from_millis(500);
/// How long after its parent has been told of it a child may come into being.
const PATIENCE: Duration = Duration::from_secs(30);

/// The children of a watched run, and theirs.
pub(super) struct Children {
    shared: Arc<Shared>,
    messages: mpsc::Receiver<ChildEvent>,
    _ending: DropGuard,
}

struct Shared {
    api: Api,
    include_payloads: bool,
    sender: mpsc::Sender<ChildEvent>,
    places: Semaphore,
    followed: Mutex<HashSet<RunId>>,
    tasks: TaskTracker,
    ended: CancellationToken,
}

/// A child, and whose it is.
struct Child {
    key: RunKey,
    parent: RunId,
    path: StepPath,
}

impl Children {
    pub(super) fn new(api: Api, include_payloads: bool) -> Self {
        let (sender, messages) = mpsc::channel(BACKLOG);
        let ended = CancellationToken::new();
        Self {
            _ending: ended.clone().drop_guard(),
            shared: Arc::new(Shared {
                api,
                include_payloads,
                sender,
                places: Semaphore::new(AT_ONCE),
                followed: Mutex::default(),
                tasks: TaskTracker::new(),
                ended,
            }),
            messages,
        }
    }

    /// Takes note of an event of the watched run: it may tell of a child.
    pub(super) fn notice(&self, parent: &RunKey, event: &Event) {
        self.shared.notice(parent, event);
    }

    /// Follows the children that a run waits for already.
    pub(super) async fn catch_up(&self, parent: &RunKey) -> Result<()> {
        let view = self.shared.api.engine.view(parent).await?;
        for (key, wait) in view.run.waiting() {
            if let crate::run::event::Awaited::Child { run_id } = wait.what {
                self.shared.follow(parent, run_id, view.run.path(key));
            }
        }
        Ok(())
    }

    /// The next event of any child.
    pub(super) async fn next(&mut self) -> ChildEvent {
        match self.messages.recv().await {
            Some(message) => message,
            // There is a sender as long as this is here.
            None => std::future::pending().await,
        }
    }

    /// The next event of any child, or `None` once all that are known have ended.
    pub(super) async fn last(&mut self) -> Option<ChildEvent> {
        self.shared.tasks.close();
        let tasks = self.shared.tasks.clone();
        tokio::select! {
            biased;
            message = self.messages.recv() => message,
            () = tasks.wait() => self.messages.try_recv().ok(),
        }
    }
}

impl Shared {
    fn notice(self: &Arc<Self>, parent: &RunKey, event: &Event) {
        match event {
            Event::ChildStarted(event) => self.follow(parent, event.run_id, event.path.clone()),
            // It was started before the watch began.
            Event::ChildEnded(event) => self.follow(parent, event.run_id, event.path.clone()),
            _ => {}
        }
    }

    fn follow(self: &Arc<Self>, parent: &RunKey, run_id: RunId, path: StepPath) {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if !followed.insert(run_id) {
            return;
        }
        drop(followed);
        let child = Child {
            key: RunKey {
                namespace: parent.namespace.clone(),
                run_id,
            },
            parent: parent.run_id,
            path,
        };
        let shared = Arc::clone(self);
        let reading = async move {
            if let Err(error) = shared.read(&child).await {
                tracing::debug!(error = &error as &dyn std::error::Error, run.id = %child.key, "a child is not followed");
            }
        };
        let ended = self.ended.clone();
        self.tasks.spawn(ended.run_until_cancelled_owned(reading));
    }

    /// Hands on all events of a child, until it has ended.
    async fn read(self: &Arc<Self>, child: &Child) -> Result<()> {
        let Ok(_place) = self.places.acquire().await else {
            return Ok(());
        };
        let engine = &self.api.engine;
        let mut subscription = loop {
            match engine.hub().subscribe(&child.key) {
                Ok(subscription) => break subscription,
                // Others may leave.
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        };
        let row = tokio::time::timeout(PATIENCE, async {
            loop {
                match outlast(|| async { Ok(engine.row(&child.key).await?) }).await {
                    Err(Error::Engine(engine::Error::RunNotFound(_))) => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    found => return found,
                }
            }
        });
        let row = row
            .await
            .map_err(|_| engine::Error::RunNotFound(child.key.run_id))??;
        let (namespace, flow_key) = (&child.key.namespace, row.flow_key);
        let graph = || async { Ok(engine.graph(namespace, flow_key, row.revision).await?) };
        let graph = outlast(graph).await?;
        let setting = Setting {
            revision: row.revision,
            graph: &graph,
        };
        let mut cursor = Cursor::after(0);
        let mut ended = self.replay(child, &mut cursor, setting).await?;
        while !ended {
            ended = match subscription.next().await {
                Signal::Events(batch) => match cursor.admit(&batch) {
                    Admitted::Next(from) => {
                        self.hand_on(child, &mut cursor, setting, &batch[from..])
                            .await?
                    }
                    Admitted::Old => false,
                    Admitted::Gap => self.replay(child, &mut cursor, setting).await?,
                },
                Signal::Behind(_) | Signal::Missed => {
                    self.replay(child, &mut cursor, setting).await?
                }
            };
        }
        Ok(())
    }

    async fn replay(
        self: &Arc<Self>,
        child: &Child,
        cursor: &mut Cursor,
        setting: Setting<'_>,
    ) -> Result<bool> {
        let (payloads, rows) = super::page(self.include_payloads);
        loop {
            let after = cursor.last();
            let page = || async {
                let mut conn = self.api.engine.store().conn().await?;
                Ok(events::page(&mut conn, &child.key, after, rows, payloads).await?)
            };
            let page = outlast(page).await?;
            if page.is_empty() {
                return Ok(false);
            }
            if self.hand_on(child, cursor, setting, &page).await? {
                return Ok(true);
            }
        }
    }

    /// Hands on events that follow the cursor; says whether the child has ended with them.
    async fn hand_on(
        self: &Arc<Self>,
        child: &Child,
        cursor: &mut Cursor,
        setting: Setting<'_>,
        events: &[Recorded],
    ) -> Result<bool> {
        let show = if self.include_payloads {
            Show::Payloads
        } else {
            Show::References
        };
        for recorded in events {
            self.notice(&child.key, &recorded.event);
            let completed = outlast(|| self.api.with_output(&child.key, recorded)).await?;
            let recorded = completed.as_ref().unwrap_or(recorded);
            let message = ChildEvent {
                run_id: child.key.run_id.to_string(),
                parent_run_id: child.parent.to_string(),
                parent_step_path: child.path.to_string(),
                event: Some(event(recorded, setting, show)),
            };
            cursor.advance(recorded.sequence);
            if self.sender.send(message).await.is_err() {
                return Ok(true);
            }
            if recorded.event.is_final() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What a call gives, which is repeated while the database is away; the watch is what gives up.
async fn outlast<T, F>(call: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    loop {
        match call().await {
            Err(error) if error.is_outage() => tokio::time::sleep(AGAIN).await,
            done => return done,
        }
    }
}
