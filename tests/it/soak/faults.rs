//! Faults at random, each on a replica that no other one strikes at the moment.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::chance::Chance;
use super::cluster::SoakCluster;
use super::figures::Figures;
use super::replica::Replica;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9`, and a new start.
    Kill,
    /// `SIGTERM`, and a new start.
    Term,
    /// `SIGSTOP`, and `SIGCONT` up to two leases later.
    Freeze,
    /// All its connections to the database are cut.
    Cut,
    /// Nothing passes to the database for up to two leases.
    BlackHole,
    /// The database answers late.
    Delay,
    /// Postgres is restarted, its sessions ended.
    Restart,
    /// Postgres ends at once and has to recover.
    Crash,
}

/// How often each comes, in a hundred.
const SHARES: [(Fault, u64); 8] = [
    (Fault::Kill, 30),
    (Fault::Term, 15),
    (Fault::Freeze, 15),
    (Fault::Cut, 12),
    (Fault::BlackHole, 12),
    (Fault::Delay, 8),
    (Fault::Restart, 5),
    (Fault::Crash, 3),
];

/// The pause between two faults.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(5));

/// How long what passes lasts.
const WHILE: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(4));

/// How long a replica is gone.
const GONE: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(2));

/// Faults under way.
#[derive(Debug)]
pub struct Faults {
    stop: CancellationToken,
    task: JoinHandle<()>,
    figures: Arc<Mutex<Figures>>,
}

#[derive(Clone)]
struct Scene {
    cluster: Arc<SoakCluster>,
    figures: Arc<Mutex<Figures>>,
}

impl Faults {
    /// Begins to strike replicas, until [`Faults::end`].
    pub fn begin(team: &[Arc<Replica>], cluster: &Arc<SoakCluster>, chance: Chance) -> Self {
        let (stop, figures) = (CancellationToken::new(), Arc::default());
        let scene = Scene {
            cluster: Arc::clone(cluster),
            figures: Arc::clone(&figures),
        };
        let task = tokio::spawn(go_on(team.to_vec(), scene, chance, stop.clone()));
        Self {
            stop,
            task,
            figures,
        }
    }

    /// No more faults: gives what there was, once those under way are over and all replicas are back.
    pub async fn end(self) -> Figures {
        self.stop.cancel();
        self.task.await.unwrap();
        std::mem::take(&mut *self.figures.lock().unwrap())
    }
}

async fn go_on(team: Vec<Arc<Replica>>, scene: Scene, mut chance: Chance, stop: CancellationToken) {
    let mut under_way = JoinSet::new();
    loop {
        let pause = chance.between(PAUSE.0, PAUSE.1);
        if stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_none()
        {
            break;
        }
        let fault = *chance.pick(&SHARES);
        let place = usize::try_from(chance.below(team.len() as u64)).unwrap();
        let (lasts, gone) = (
            chance.between(WHILE.0, WHILE.1),
            chance.between(GONE.0, GONE.1),
        );
        let (replica, scene) = (Arc::clone(&team[place]), scene.clone());
        under_way.spawn(async move { scene.strike(fault, &replica, lasts, gone).await });
    }
    under_way.join_all().await;
}

impl Scene {
    async fn strike(&self, fault: Fault, replica: &Replica, lasts: Duration, gone: Duration) {
        let Ok(mut slot) = replica.binary.try_lock() else {
            // It has its trouble already.
            return;
        };
        self.figures.lock().unwrap().struck(fault);
        println!(
            "  {} {fault:?} of {}",
            chrono::Utc::now().format("%H:%M:%S"),
            replica.address()
        );
        match fault {
            Fault::Kill | Fault::Term => {
                let mut binary = slot.take().expect("it is there unless it is locked");
                let executor = binary.executor();
                let signal = if fault == Fault::Kill {
                    Signal::KILL
                } else {
                    Signal::TERM
                };
                let struck = Instant::now();
                binary.signal(signal);
                let taking = self.taken_over(fault, executor, struck);
                let coming_back = async {
                    binary.ended().await;
                    tokio::time::sleep(gone).await;
                    // It would not start without a database.
                    let _there = self.cluster.hold().await;
                    binary.restart().await
                };
                let ((), binary) = tokio::join!(taking, coming_back);
                *slot = Some(binary);
            }
            Fault::Freeze => {
                let binary = slot.as_ref().expect("it is there unless it is locked");
                binary.signal(Signal::STOP);
                tokio::time::sleep(lasts).await;
                binary.signal(Signal::CONT);
            }
            Fault::Cut => replica.proxy.cut_all(),
            Fault::BlackHole => {
                replica.proxy.silence();
                tokio::time::sleep(lasts).await;
                replica.proxy.open();
            }
            Fault::Delay => {
                replica.proxy.delay(Duration::from_millis(150));
                tokio::time::sleep(lasts).await;
                replica.proxy.delay(Duration::ZERO);
            }
            Fault::Restart => self.cluster.restart(Signal::INT).await,
            Fault::Crash => self.cluster.restart(Signal::QUIT).await,
        }
    }

    /// Notes how long it took until nothing belonged to an executor any more.
    async fn taken_over(&self, fault: Fault, executor: String, struck: Instant) {
        let query = "SELECT count(*) FROM workflow_runs WHERE executor_id = $1::text::uuid";
        let mut sql = self.cluster.sql().await;
        let mut had_any = false;
        loop {
            match sql.query_one(query, &[&executor]).await {
                Ok(row) if row.get::<_, i64>(0) == 0 => break,
                Ok(_) => had_any = true,
                // Postgres is being restarted.
                Err(_) => sql = self.cluster.sql().await,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if had_any {
            let took = struck.elapsed();
            self.figures.lock().unwrap().taken_over(fault, took);
        }
    }
}
