//! What happens to a process that stands still at a boundary.

use std::time::Duration;

use rustix::process::Signal;
use tokio_postgres::Client;

use crate::support::binary::Binary;
use crate::support::bounded;
use crate::support::proxy::Proxy;

/// The lease of all processes of the trials.
pub const LEASE: Duration = Duration::from_secs(2);

/// How late answers of a database that is slow are: renewals come through all the same.
const LATE: Duration = Duration::from_millis(200);

/// How long a take-over may take before it is taken for broken.
const LIMIT: Duration = Duration::from_secs(30);

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process ends as by `kill -9`.
    Kill,
    /// It stands still (`SIGSTOP`) until others have all that it had, and then goes on (`SIGCONT`).
    Stop,
    /// All its connections to the database are cut.
    Cut,
    /// The database answers late for a whole lease.
    Delay,
    /// Nothing passes between it and the database until others have all that it had; then all that was held back does.
    BlackHole,
}

impl Fault {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 5] = [
        Self::Kill,
        Self::Stop,
        Self::Cut,
        Self::Delay,
        Self::BlackHole,
    ];

    /// What the crash point does: by itself it can end the process, or hold it for whatever else is to happen.
    pub fn action(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop | Self::Cut | Self::Delay | Self::BlackHole => "stop",
        }
    }

    /// Whether the runs of the process go to others for it.
    pub fn costs_the_lease(self) -> bool {
        matches!(self, Self::Kill | Self::Stop | Self::BlackHole)
    }
}

/// The process that a fault strikes, and its way to the database.
#[derive(Debug)]
pub struct Victim {
    pub binary: Binary,
    pub proxy: Proxy,
}

impl Victim {
    /// Waits until it stands still after it has said that it will, or has ended.
    pub async fn stands_still(&mut self, fault: Fault) {
        if fault == Fault::Kill {
            self.binary.ended().await;
            return;
        }
        let stat = format!("/proc/{}/stat", self.binary.pid().as_raw_nonzero());
        let wait = async {
            loop {
                let stat = std::fs::read_to_string(&stat).unwrap();
                // The state comes after the name, which is in brackets.
                if stat
                    .rsplit(") ")
                    .next()
                    .is_some_and(|rest| rest.starts_with('T'))
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        bounded(LIMIT, "a process that stands still", wait).await;
    }

    /// Begins the fault, on a process that stands still.
    pub fn strike(&self, fault: Fault) {
        match fault {
            Fault::Kill | Fault::Stop => return,
            Fault::Cut => self.proxy.cut_all(),
            Fault::Delay => self.proxy.delay(LATE),
            Fault::BlackHole => self.proxy.silence(),
        }
        self.binary.signal(Signal::CONT);
    }

    /// Ends the fault: whoever is still there goes on.
    pub fn relieve(&self, fault: Fault) {
        match fault {
            Fault::Kill | Fault::Cut => {}
            Fault::Stop => self.binary.signal(Signal::CONT),
            Fault::Delay => self.proxy.delay(Duration::ZERO),
            Fault::BlackHole => self.proxy.open(),
        }
    }
}

/// How many open runs belong to an executor.
pub async fn owned(sql: &Client, executor: &str) -> i64 {
    let query = "SELECT count(*) FROM workflow_runs WHERE executor_id = $1::text::uuid";
    sql.query_one(query, &[&executor]).await.unwrap().get(0)
}

/// Waits until nothing belongs to an executor any more and its lease is over, unless it has left in order; gives how long
/// the first took.
pub async fn taken_over(sql: &Client, executor: &str) -> Duration {
    let started = std::time::Instant::now();
    let wait = async {
        while owned(sql, executor).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = started.elapsed();
        let query = "SELECT count(*) FROM executors WHERE executor_id = $1::text::uuid AND NOT retired AND lease_until > now()";
        while sql
            .query_one(query, &[&executor])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 0
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        took
    };
    bounded(LIMIT, "the take-over", wait).await
}
