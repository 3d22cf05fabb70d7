//! Keeping the lease: it is renewed on a connection of its own, and after it was not for a while it is found out which runs
//! are left.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use diesel_async::AsyncPgConnection;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::Engine;
use super::driver::Message;
use super::lease::Moment;
use crate::store::{self, Class, executors};

/// How much later than the end of a lease it is looked for its runs: more than clocks differ.
const LEASE_OVER: TimeDelta = TimeDelta::milliseconds(20);
/// The longest that a renewal may take, also of a long lease.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Postgres' word for it: connections are rather kept then.
const TOO_MANY_CONNECTIONS: &str = "53300";

impl Engine {
    /// Renews the lease on a connection of its own until the process drains and its runs are done.
    pub(super) fn keep_lease(&self, connection: AsyncPgConnection) {
        let engine = self.clone();
        let ending = self.inner.abandon.clone();
        let renewing = async move { engine.renew_for_ever(connection).await };
        self.inner
            .loops
            .spawn(ending.run_until_cancelled_owned(renewing));
    }

    async fn renew_for_ever(&self, connection: AsyncPgConnection) {
        let parts = &self.inner.parts;
        let mut connection = Some(connection);
        // How many renewals in a row have failed.
        let mut misses = 0_u32;
        let mut is_cut = false;
        loop {
            let pause = match self.renew(&mut connection).await {
                Ok(()) => {
                    (misses, is_cut) = (0, false);
                    self.confirm_runs().await;
                    parts.lease.renewal_interval()
                }
                Err(error) => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "the lease could not be renewed"
                    );
                    connection = None;
                    misses += 1;
                    if matches!(error.class(), Class::Lost | Class::Refusing)
                        && error.sql_state() != Some(TOO_MANY_CONNECTIONS)
                    {
                        parts.store.distrust_connections();
                        let is_silent = error.sql_state().is_none();
                        if is_silent && !is_cut && !parts.lease.is_firm() {
                            // Nobody knows whether what is asked will ever be answered.
                            parts.store.cut_connections();
                            is_cut = true;
                        }
                    }
                    if misses == 1 {
                        // A connection may end for reasons of its own: another one tells.
                        continue;
                    }
                    self.inner.renewing.send_replace(false);
                    Duration::from_millis(500).min(parts.lease.renewal_interval())
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn renew(&self, connection: &mut Option<AsyncPgConnection>) -> store::Result<()> {
        let parts = &self.inner.parts;
        let conn = match connection {
            Some(conn) => conn,
            None => connection.insert(parts.store.dedicated().await?),
        };
        let (sent, asked) = (Moment::now(), Instant::now());
        let renewal = executors::renew(
            conn,
            parts.executor,
            &parts.settings.address,
            parts.lease.length(),
        );
        let patience = parts.lease.renewal_interval().min(RENEWAL_TIMEOUT);
        let executors::Renewal {
            now,
            event_format,
            next_lease_end,
        } = tokio::time::timeout(patience, renewal)
            .await
            .map_err(|_| store::Error::no_answer("the renewal of the lease"))??;
        parts.lease.renewed(sent, event_format);
        parts.clock.correct(now, asked);
        self.inner.renewing.send_replace(true);
        if let Some(end) = next_lease_end.filter(|end| *end - now < late(parts.lease.length())) {
            // Somebody has missed a renewal: if it has died, its runs are taken over as soon as they may be.
            self.inner.wakes.note(end + LEASE_OVER);
        }
        Ok(())
    }

    /// Finds out which runs are still ours after the lease was over for a while: each driver writes once more behind its
    /// fence, and those that cannot are gone when this returns. Until then nothing begins outside that is not `PURE`.
    ///
    /// Gives up after a while; the next renewal tries again.
    async fn confirm_runs(&self) {
        let lease = &self.inner.parts.lease;
        let Some(at_break) = lease.unconfirmed() else {
            return;
        };
        let mailboxes: Vec<mpsc::Sender<Message>> = self.open().values().cloned().collect();
        let asked = mailboxes.len();
        let (known, mut all_known) = mpsc::channel(asked.max(1));
        let confirmed = async {
            for mailbox in mailboxes {
                // An error says that the driver has ended.
                mailbox.send(Message::Recheck(known.clone())).await.ok();
            }
            drop(known);
            let mut kept = 0;
            // It ends when the last driver has dropped its end.
            while all_known.recv().await.is_some() {
                kept += 1;
            }
            kept
        };
        match tokio::time::timeout(lease.renewal_interval(), confirmed).await {
            Ok(kept) => {
                lease.confirm(at_break);
                info!(
                    runs.kept = kept,
                    runs.dropped = asked - kept,
                    "the lease was not renewed for a while, and it is known again which runs are ours"
                );
            }
            Err(_) => {
                warn!("it is not known yet which runs are ours since the lease was renewed again");
            }
        }
    }
}

/// How much of a lease of this length is left when a renewal was missed.
fn late(lease: Duration) -> TimeDelta {
    TimeDelta::from_std(lease / 2).unwrap_or_default()
}
