//! What happens in runs that another replica drives, brought to those who watch them here, drafts included.
//!
//! The `Keeper` of the watching replica opens one stream for each run that is watched here and driven
//! elsewhere, however many watch it, and feeds the hub from it; so watches do not know where a run is. The [`Service`]
//! of the owner tells what its own hub brings. A relay is never the truth: the engine goes on polling the runs that are
//! watched, so that a stream which is cut, silent or refused costs time and drafts, and nothing else.
//!
//! No stream and no connection is there while nobody watches.

mod follow;
mod keeper;
mod peers;
pub mod service;
mod wire;

use self::keeper::Keeper;
use self::service::Service;
use crate::engine::Engine;
use crate::proto::internal::relay_service_server::RelayServiceServer;

/// Keeps what is watched here relayed, until the process drains.
pub fn keep(engine: &Engine) {
    let keeper = Keeper::new(engine.clone());
    let draining = engine.draining();
    engine.keep(async move {
        // What it follows ends with it.
        draining.run_until_cancelled_owned(keeper.run()).await;
    });
}

/// What other replicas ask of this one.
#[must_use]
pub fn service(engine: Engine) -> RelayServiceServer<Service> {
    RelayServiceServer::new(Service::new(engine))
}
