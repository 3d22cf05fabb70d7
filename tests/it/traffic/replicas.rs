//! The replicas that clients may call, and calls that are repeated until one of them has decided.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use synapps::proto::run_service_client::RunServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use crate::support::calls::{Calls, reason};

/// How long a client waits for an answer before it asks another replica.
const CALL: Duration = Duration::from_secs(3);

/// How long a client waits before it asks again: doubled from the first to the last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Which replica a client asks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The first in the list: the one that trouble awaits.
    FirstFirst,
    /// Each call another one.
    InTurn,
}

/// The replicas that there are; cheap to clone.
#[derive(Clone, Debug)]
pub struct Replicas {
    choice: Choice,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    list: Mutex<Vec<Calls>>,
    turn: AtomicUsize,
    errors: Mutex<BTreeMap<String, usize>>,
    wrong: Mutex<Vec<String>>,
}

impl Replicas {
    pub fn new(choice: Choice) -> Self {
        Self {
            choice,
            shared: Arc::default(),
        }
    }

    /// From now on these are asked.
    pub fn set(&self, replicas: &[&Calls]) {
        *self.shared.list.lock().unwrap() = replicas.iter().map(|&calls| calls.clone()).collect();
    }

    /// The number of a replica to begin with; that plus one is another.
    pub fn first(&self) -> usize {
        match self.choice {
            Choice::FirstFirst => 0,
            Choice::InTurn => self.turn(),
        }
    }

    /// The number of some replica, another one each time.
    pub fn turn(&self) -> usize {
        self.shared.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// The replica of this number, if there is any at all.
    pub fn at(&self, number: usize) -> Option<Calls> {
        let list = self.shared.list.lock().unwrap();
        let place = number.checked_rem(list.len())?;
        list.get(place).cloned()
    }

    /// Asks one replica after the other until one has decided; an error is such a decision.
    pub async fn call<Q: Clone, T, F>(
        &self,
        what: &str,
        request: &Q,
        send: impl Fn(RunServiceClient<Channel>, Q) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut number = self.first();
        let mut pause = PAUSE.0;
        loop {
            if let Some(calls) = self.at(number) {
                match bounded(send(calls.runs(), request.clone())).await {
                    Ok(answer) => return Ok(answer.into_inner()),
                    Err(status) if is_decision(&status) => return Err(status),
                    Err(status) => self.note(what, &status),
                }
            }
            number += 1;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Counts what a client met; what no client should ever meet is kept as wrong.
    pub fn note(&self, what: &str, status: &Status) {
        let reason = reason(status);
        let name = if reason.is_empty() {
            format!("{:?}, the connection's own", status.code())
        } else {
            format!("{:?} {reason}", status.code())
        };
        *self.shared.errors.lock().unwrap().entry(name).or_default() += 1;
        let is_ours = !reason.is_empty();
        if is_ours
            && matches!(
                status.code(),
                Code::Internal | Code::DataLoss | Code::Unknown
            )
        {
            self.wrong(format!("{what} was answered with {status:?}"));
        }
    }

    /// Keeps something that no client should ever meet.
    pub fn wrong(&self, what: String) {
        self.shared.wrong.lock().unwrap().push(what);
    }

    /// What clients have met that they never should, since this was last asked.
    pub fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.wrong.lock().unwrap())
    }

    /// How often clients have met what error.
    pub fn errors(&self) -> BTreeMap<String, usize> {
        self.shared.errors.lock().unwrap().clone()
    }
}

/// The answer, or that it took too long.
pub async fn bounded<T>(answer: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let answer = tokio::time::timeout(CALL, answer).await;
    answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("the client has waited enough")))
}

/// Whether repeating the call elsewhere would change nothing.
fn is_decision(status: &Status) -> bool {
    let of_the_service = !reason(status).is_empty();
    let passes = matches!(
        status.code(),
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::Internal
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Cancelled
    );
    of_the_service && !passes
}
