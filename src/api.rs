//! The gRPC services: each call is decoded, done by the engine or the store, and encoded.
//!
//! Only here are the messages of the wire known. [`convert`] is the way between them and what the service works with,
//! [`status`] the only place where an error becomes a gRPC code.

pub mod applets;
pub mod checks;
pub mod convert;
pub mod flows;
pub mod page;
pub mod runs;
pub mod secrets;
pub mod status;
pub mod timeout;
pub mod watch;
pub mod watch_runs;

use std::time::Duration;

use tonic::codec::CompressionEncoding;
use tonic::service::Routes;

use crate::cpu::Cpu;
use crate::engine::Engine;
use crate::flow::validate::Limits;
use crate::ids::Namespace;
use crate::proto::applet_service_server::AppletServiceServer;
use crate::proto::flow_service_server::FlowServiceServer;
use crate::proto::run_service_server::RunServiceServer;
use crate::proto::secret_service_server::SecretServiceServer;

/// The largest message that is taken or given, in bytes: 4 MiB, which is what most gRPC clients take too.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// The largest answer that is made, in bytes: 3 MiB, so that with what surrounds it no client refuses it.
pub const MAX_ANSWER_BYTES: usize = 3 << 20;

/// The most differences that a diff names.
pub const MOST_DIFFERENCES: usize = 1_000;

/// The most bytes of differences that a diff names: with what surrounds them an answer stays within its bound.
pub const MOST_DIFFERENCE_BYTES: usize = 1 << 20;

/// What may be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What a flow may be at most.
    pub limits: Limits,
    /// The largest input of a run, in bytes of compact JSON: 1 MiB unless set.
    pub max_input_bytes: u64,
    /// After what time without a message a stream says that it is alive: 15 s unless set.
    pub heartbeat: Duration,
    /// After what time a watcher that reads nothing is ended: 60 s unless set.
    pub slow_watcher: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            max_input_bytes: 1 << 20,
            heartbeat: Duration::from_secs(15),
            slow_watcher: Duration::from_mins(1),
        }
    }
}

/// What all services are made of; cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    pub(crate) engine: Engine,
    /// For the checks of flows: apart from the steps of runs, so that neither keeps the other waiting.
    pub(crate) cpu: Cpu,
    pub(crate) settings: Settings,
}

impl Api {
    /// Whose flows and runs a call is about.
    ///
    /// The one place where that is decided: as long as nobody has to say who is calling, all share a namespace.
    #[expect(
        clippy::unused_self,
        reason = "who is calling will be found out by what the services share"
    )]
    pub(crate) fn namespace<T>(&self, _request: &tonic::Request<T>) -> Namespace {
        Namespace::default_namespace()
    }
}

/// Sets what holds for every service: the sizes of messages, and that gzip is understood and sent.
macro_rules! service {
    ($server:ident, $api:expr) => {
        $server::new($api)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip)
    };
}

/// The services.
#[must_use]
pub fn routes(engine: Engine, cpu: Cpu, settings: Settings) -> Routes {
    let api = Api {
        engine,
        cpu,
        settings,
    };
    Routes::default()
        .add_service(service!(FlowServiceServer, api.clone()))
        .add_service(service!(RunServiceServer, api.clone()))
        .add_service(service!(AppletServiceServer, api.clone()))
        .add_service(service!(SecretServiceServer, api))
}
