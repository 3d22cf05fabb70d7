//! The load of the benchmarks: what they do to a service, and the figures that come of it.
//!
//! It is a client like any other and knows nothing of the engine. `synapps bench` ([`command`]) points it at a running
//! service; the harness in `benches/workloads` points it at processes of its own, beside baselines.
//!
//! A workload that only needs calls is a variant of [`Workload`]: its flow stands in `flows`, how it is called and
//! what is measured in [`Prepared::measure`]. What needs more (a process to kill, a database to fill, a server of its
//! own) belongs to the harness and takes [`Clients`], [`Latencies`] and [`Figures`] from here.

pub mod clients;
pub mod command;
pub mod figures;
pub mod flows;
mod rounds;

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;

pub use clients::Clients;
pub use figures::{Figures, Latencies, Unit};
pub use flows::order_text;
pub use rounds::{Call, Round, round};

/// What is done to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Runs of start, three transforms, end, each transform durable before the next begins
    #[value(name = "W5")]
    W5,
    /// The same, the transforms pure
    #[value(name = "W5-pure")]
    W5Pure,
    /// One client: start, 50 transforms side by side, merge, end
    #[value(name = "FAN50")]
    Fan50,
    /// One client: 40 transforms one after the other, each durable before the next begins
    #[value(name = "W40")]
    W40,
    /// One client: a loop over 10,000 items, a hundred at once, of one transform that is durable before it begins
    #[value(name = "LOOP")]
    Loop,
    /// Calls of `StartRun` alone, of the smallest flow
    #[value(name = "START")]
    Start,
}

impl Workload {
    /// All of them, in the order in which they are measured.
    pub const ALL: [Self; 6] = [
        Self::W5,
        Self::W5Pure,
        Self::Fan50,
        Self::W40,
        Self::Loop,
        Self::Start,
    ];

    /// What reports call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::W5 => "W5",
            Self::W5Pure => "W5-pure",
            Self::Fan50 => "FAN50",
            Self::W40 => "W40",
            Self::Loop => "LOOP",
            Self::Start => "START",
        }
    }

    /// Whether many clients at once are measured.
    #[must_use]
    pub fn has_crowd(self) -> bool {
        matches!(self, Self::W5 | Self::W5Pure | Self::Start)
    }

    /// Whether one client alone is measured.
    #[must_use]
    pub fn has_single(self) -> bool {
        !matches!(self, Self::Start | Self::Loop)
    }

    /// Saves the flow of this workload, under an id that nobody else has.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`].
    pub async fn prepare(self, clients: &Clients) -> Result<Prepared, Error> {
        let flow = match self {
            Self::W5 => flows::chain(self.name(), 3, flows::DURABLE),
            Self::W5Pure => flows::chain(self.name(), 3, flows::AS_DECLARED),
            Self::Fan50 => flows::fan(self.name(), 50),
            Self::W40 => flows::chain(self.name(), 40, flows::DURABLE),
            Self::Loop => flows::each(self.name(), 10_000),
            Self::Start => flows::smallest(self.name()),
        };
        let flow_id = clients.save(flow).await?;
        Ok(Prepared {
            workload: self,
            flow_id,
            clients: clients.clone(),
        })
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How hard and how long.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How many clients call at once, each its next call when it knows the end of the one before.
    pub clients: usize,
    /// How long they do so.
    pub window: Duration,
}

/// A workload whose flow is saved, to be measured as often as one likes.
#[derive(Clone, Debug)]
pub struct Prepared {
    workload: Workload,
    flow_id: String,
    clients: Clients,
}

impl Prepared {
    /// Measures all figures of the workload: `throughput` (with `loaded p50` and `loaded p99`) of all clients during the
    /// window, then `p50` and `p99` of a single client during half of it; those of one client alone have only the latter,
    /// and START only the former. LOOP has `total`, of one run, however long it takes.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] and [`Error::NotSucceeded`]: a run that fails is no figure.
    pub async fn measure(&self, pace: Pace) -> Result<Figures, Error> {
        let mut figures = Figures::new();
        if self.workload.has_crowd() {
            self.crowd(pace).await?.describe_crowd(&mut figures);
        }
        if self.workload.has_single() {
            let window = pace.window / 2;
            self.single(window).await?.describe_single(&mut figures);
        }
        if self.workload == Workload::Loop {
            let total = self.once().await?;
            figures.add("total", total.as_secs_f64(), Unit::Seconds);
        }
        Ok(figures)
    }

    /// All clients at once.
    ///
    /// # Errors
    ///
    /// As [`Prepared::measure`].
    pub async fn crowd(&self, pace: Pace) -> Result<Round, Error> {
        rounds::round(&self.clients, self.call(), pace).await
    }

    /// One client.
    ///
    /// # Errors
    ///
    /// As [`Prepared::measure`].
    pub async fn single(&self, window: Duration) -> Result<Round, Error> {
        let pace = Pace { clients: 1, window };
        rounds::round(&self.clients, self.call(), pace).await
    }

    /// One call, and how long it took.
    ///
    /// # Errors
    ///
    /// As [`Prepared::measure`].
    pub async fn once(&self) -> Result<Duration, Error> {
        self.call().make(&mut self.clients.runs(0)).await
    }

    /// Brings connections, caches and code up to speed: what comes of it is no figure.
    ///
    /// # Errors
    ///
    /// As [`Prepared::measure`].
    pub async fn warm_up(&self) -> Result<(), Error> {
        if self.workload == Workload::Loop {
            self.once().await?;
            return Ok(());
        }
        let clients = if self.workload.has_crowd() { 16 } else { 1 };
        let window = Duration::from_secs(1);
        self.crowd(Pace { clients, window }).await?;
        Ok(())
    }

    /// Deletes the flow. Its runs stay until retention removes them.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`].
    pub async fn remove(self) -> Result<(), Error> {
        self.clients.delete(&self.flow_id).await
    }

    /// The id of its flow.
    #[must_use]
    pub fn flow_id(&self) -> &str {
        &self.flow_id
    }

    fn call(&self) -> Call {
        match self.workload {
            Workload::Start => Call::start(&self.flow_id),
            _ => Call::execute(&self.flow_id),
        }
    }
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address of a service.
    #[error("{0:?} is not the address of a service: http://HOST:PORT, without TLS")]
    Address(String),
    /// Nobody answers there.
    #[error("nothing answers at {address}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The service answers with an error.
    #[error("{call} was answered with {:?}: {}", .status.code(), .status.message())]
    Refused {
        /// What was called.
        call: &'static str,
        /// The answer.
        status: Box<tonic::Status>,
    },
    /// A run came to another end than success, or its stream ended without one.
    #[error("a run of {flow_id} did not succeed: {end}")]
    NotSucceeded {
        /// Its flow.
        flow_id: String,
        /// What happened instead.
        end: String,
    },
    /// A client has ended by a bug of its own.
    #[error("a client of the load has ended by itself")]
    Client(#[from] tokio::task::JoinError),
    /// No single call came to its end during the window.
    #[error("nothing came to its end within {} s", .0.as_secs_f64())]
    Nothing(Duration),
    /// The figures cannot be written.
    #[error("the figures cannot be printed")]
    Print(#[from] std::io::Error),
}
