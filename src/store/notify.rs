//! Notifications between replicas: hints that something is there for one of them before its tick would find it.
//!
//! Nothing depends on them, and whoever misses one finds the same a tick later. A transaction that notifies takes a lock
//! of the whole database when it commits, so that they are sent by statements of their own, few and together, and never
//! by those that write history.

use std::future::poll_fn;

use diesel::sql_types::{Array, Bool, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client};
use tracing::debug;
use uuid::Uuid;

use super::Result;
use super::dial::Dialer;
use crate::ids::{ExecutorId, RunKey};

/// The channel of all hints. Notifications reach one database only.
const CHANNEL: &str = "synapps";
/// The hint that something can be claimed.
const CLAIMS: &str = "c";
/// What the hint begins with that an executor has letters; its id follows.
const LETTERS: &str = "i:";

/// What there is to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Whether something can be claimed by whoever has room.
    pub claims: bool,
    /// Runs that something was asked of: their owners are told, or all if nobody owns them.
    pub asked: Vec<RunKey>,
}

impl News {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.claims && self.asked.is_empty()
    }
}

/// Tells the other executors; who owns a run by now is looked up by the same statement.
///
/// # Errors
///
/// As every query; nobody was told, unless the connection was lost.
pub async fn tell(conn: &mut AsyncPgConnection, by: ExecutorId, news: &News) -> Result<()> {
    let namespaces: Vec<&str> = news
        .asked
        .iter()
        .map(|run| run.namespace.as_str())
        .collect();
    let runs: Vec<Uuid> = news.asked.iter().map(|run| run.run_id.uuid()).collect();
    diesel::sql_query(
        "SELECT pg_notify($1, hint) FROM (SELECT $2 AS hint WHERE $3 \
         UNION SELECT coalesce($4 || r.executor_id, $2) FROM unnest($5, $6) AS a(namespace, run_id) \
         JOIN workflow_runs r ON r.namespace = a.namespace AND r.run_id = a.run_id \
         WHERE r.ended_at IS NULL AND r.executor_id IS DISTINCT FROM $7) h",
    )
    .bind::<Text, _>(CHANNEL)
    .bind::<Text, _>(CLAIMS)
    .bind::<Bool, _>(news.claims)
    .bind::<Text, _>(LETTERS)
    .bind::<Array<Text>, _>(namespaces)
    .bind::<Array<SqlUuid>, _>(runs)
    .bind::<SqlUuid, _>(by.uuid())
    .execute(conn)
    .await?;
    Ok(())
}

/// A connection of its own that hears hints.
#[derive(Debug)]
pub struct Listener {
    // The session ends with it.
    _client: Client,
    hints: mpsc::Receiver<()>,
}

impl Listener {
    /// Connects and listens for what is meant for `executor`.
    pub(super) async fn open(dialer: &Dialer, executor: ExecutorId) -> Result<Self> {
        let (client, mut wire) = dialer.bare().await?;
        let own = format!("{LETTERS}{executor}");
        // Room for one: several hints ask for no more than one does.
        let (heard, hints) = mpsc::channel(1);
        // Ends when its client is dropped, or the server ends the connection.
        tokio::spawn(async move {
            while let Some(message) = poll_fn(|context| wire.poll_message(context)).await {
                match message {
                    Ok(AsyncMessage::Notification(hint))
                        if hint.channel() == CHANNEL
                            && (hint.payload() == CLAIMS || hint.payload() == own) =>
                    {
                        // Full: one is waiting already. Closed: nobody listens any more.
                        heard.try_send(()).ok();
                    }
                    Ok(_) => {}
                    Err(error) => {
                        debug!(
                            error = &error as &dyn std::error::Error,
                            "the connection that listens has ended"
                        );
                        return;
                    }
                }
            }
        });
        client.batch_execute(&format!("LISTEN {CHANNEL}")).await?;
        Ok(Self {
            _client: client,
            hints,
        })
    }

    /// Waits for the next hint; `None` once the connection has ended.
    pub async fn hint(&mut self) -> Option<()> {
        self.hints.recv().await
    }
}
