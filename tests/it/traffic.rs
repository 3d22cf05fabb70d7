//! Clients with runs of several kinds, who do not give up: they repeat what was not answered and resume what broke off,
//! on whichever replica there is.
//!
//! ```ignore
//! let traffic = Traffic::new(Choice::FirstFirst);
//! traffic.replicas().set(&[&victim, &heir]);
//! traffic.save_flows(&heir).await;
//! traffic.begin(&[Kind::Mixed, Kind::Waits]);
//! let visits = traffic.settled(Duration::from_secs(30)).await;
//! ```

mod flows;
mod replicas;
mod visit;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

pub use flows::Kind;
pub use replicas::{Choice, Replicas};
pub use visit::{Visit, print_of};

use crate::support::calls::Calls;
use crate::support::http_bin::{Held, HttpBin};

/// All clients of a trial.
#[derive(Debug)]
pub struct Traffic {
    crowd: Arc<Crowd>,
    under_way: Mutex<JoinSet<Visit>>,
    begun: AtomicU32,
    /// Those that have not come to their end, by number.
    open: Arc<Mutex<BTreeMap<u32, Kind>>>,
}

/// What all clients share.
#[derive(Debug)]
pub struct Crowd {
    replicas: Replicas,
    bin: HttpBin,
    /// Requests that wait: of what kind of run, and until when.
    held: Mutex<BTreeMap<u32, (Kind, Held)>>,
}

impl Traffic {
    /// Clients that choose among replicas like this, and the server that their flows call.
    pub async fn new(choice: Choice) -> Self {
        let crowd = Crowd {
            replicas: Replicas::new(choice),
            bin: HttpBin::start().await,
            held: Mutex::default(),
        };
        Self {
            crowd: Arc::new(crowd),
            under_way: Mutex::default(),
            begun: AtomicU32::new(0),
            open: Arc::default(),
        }
    }

    /// The replicas that clients may call.
    pub fn replicas(&self) -> &Replicas {
        &self.crowd.replicas
    }

    /// The server that flows call.
    pub fn bin(&self) -> &HttpBin {
        &self.crowd.bin
    }

    /// Saves the flows of all kinds.
    pub async fn save_flows(&self, calls: &Calls) {
        for flow in flows::all(&self.crowd.bin) {
            calls.save(flow).await;
        }
    }

    /// Begins a visit of each of these kinds, and gives their numbers.
    pub fn begin(&self, kinds: &[Kind]) -> Vec<u32> {
        kinds.iter().map(|&kind| self.begin_one(kind)).collect()
    }

    fn begin_one(&self, kind: Kind) -> u32 {
        let n = self.begun.fetch_add(1, Ordering::Relaxed);
        self.open.lock().unwrap().insert(n, kind);
        let (crowd, open) = (Arc::clone(&self.crowd), Arc::clone(&self.open));
        self.under_way.lock().unwrap().spawn(async move {
            let visit = Visit::make(&crowd, kind, n).await;
            open.lock().unwrap().remove(&n);
            visit
        });
        n
    }

    /// How many visits have not come to their end.
    pub fn open(&self) -> usize {
        self.open.lock().unwrap().len()
    }

    /// Lets all requests be answered that flows of the kind [`Kind::Slow`] have sent.
    pub fn release(&self) {
        let mut held = self.crowd.held.lock().unwrap();
        held.retain(|_, (kind, _)| *kind != Kind::Slow);
    }

    /// All visits once they have come to their end; those that have not within `limit` are named as stuck.
    pub async fn settled(&self, limit: Duration) -> (Vec<Visit>, Vec<String>) {
        let mut under_way = std::mem::take(&mut *self.under_way.lock().unwrap());
        let mut visits = Vec::new();
        let gather = async {
            while let Some(visit) = under_way.join_next().await {
                visits.push(visit.unwrap());
            }
        };
        // What is not done then is told below.
        tokio::time::timeout(limit, gather).await.ok();
        under_way.abort_all();
        let mut open = self.open.lock().unwrap();
        let stuck = std::mem::take(&mut *open).into_iter().map(|(n, kind)| {
            format!("the client of run {n} ({kind:?}) waits for its end since {limit:?}")
        });
        (visits, stuck.collect())
    }
}
