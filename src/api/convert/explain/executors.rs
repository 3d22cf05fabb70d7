//! What keeps a run from moving because of who owns it, or of nobody doing so.

use chrono::{DateTime, Utc};

use super::{Told, at, counted};
use crate::api::convert::time::timestamp;
use crate::ids::ExecutorId;
use crate::proto::{FormatTooNew, ObstacleKind, OwnerLease, Unclaimed, obstacle::Detail};

/// Nobody has taken it; `here` are the runs in memory here, and the most of them.
pub(super) fn unclaimed(due_since: DateTime<Utc>, live: usize, here: (usize, usize)) -> Told {
    let (open_here, limit_here) = here;
    Told::new(
        ObstacleKind::Unclaimed,
        format!(
            "the run is due since {} and none of {live} live executors has taken it; this one has {open_here} runs in \
             memory and takes {limit_here}",
            at(due_since)
        ),
        "room in an executor: runs that end or wait, a higher SYNAPPS_MAX_OPEN_RUNS, or one more replica; where there \
         is room it is taken within about a second, the highest priority first",
    )
    .with(Detail::Unclaimed(Unclaimed {
        due_time: Some(timestamp(due_since)),
        live_executors: counted(live),
        open_runs_here: counted(open_here),
        max_open_runs_here: counted(limit_here),
    }))
}

pub(super) fn none_lives(due_since: DateTime<Utc>) -> Told {
    Told::new(
        ObstacleKind::NoLiveExecutor,
        format!(
            "no executor lives that could take the run, which is due since {}",
            at(due_since)
        ),
        "an executor that reaches the database: start a replica, or look why those that run cannot renew their lease",
    )
    .with(Detail::Unclaimed(Unclaimed {
        due_time: Some(timestamp(due_since)),
        ..Unclaimed::default()
    }))
}

pub(super) fn lease_expired(
    executor: ExecutorId,
    address: &str,
    since: Option<DateTime<Utc>>,
) -> Told {
    let when = since.map_or_else(
        || "long ago".to_owned(),
        |since| format!("at {}", at(since)),
    );
    Told::new(
        ObstacleKind::LeaseExpired,
        format!("the lease of the executor {executor} that owns the run ended {when}"),
        "a live executor with room takes it over, within about a second; one that has just started, or had lost the \
         database, first has to keep its own lease for a whole period",
    )
    .with(owner(executor, address, since))
}

pub(super) fn too_new(format: i16, readable: i16) -> Told {
    Told::new(
        ObstacleKind::FormatTooNew,
        format!(
            "the history of the run is of format {format}, and live executors read up to {readable}"
        ),
        "an executor of the version that wrote it, or a newer one",
    )
    .with(Detail::FormatTooNew(FormatTooNew {
        event_format: format.into(),
        highest_readable: readable.into(),
    }))
}

pub(super) fn lease_not_firm() -> Told {
    Told::new(
        ObstacleKind::LeaseNotFirm,
        "the executor could not renew its lease lately, and begins nothing that might be done twice",
        "the database answering again",
    )
}

pub(super) fn elsewhere(executor: ExecutorId, address: &str, lease_until: DateTime<Utc>) -> Told {
    let place = if address.is_empty() {
        "at an address that is not known".to_owned()
    } else {
        format!("at {address}")
    };
    Told::new(
        ObstacleKind::OwnedElsewhere,
        format!("the run is driven by the executor {executor} {place}; what only that knows is not told here"),
        "nothing has to be freed; ExplainRun at the owner tells more",
    )
    .by("ExplainRun")
    .with(owner(executor, address, Some(lease_until)))
}

fn owner(executor: ExecutorId, address: &str, lease: Option<DateTime<Utc>>) -> Detail {
    Detail::Owner(OwnerLease {
        executor_id: executor.to_string(),
        address: address.to_owned(),
        lease_expire_time: lease.map(timestamp),
    })
}
