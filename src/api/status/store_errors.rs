//! What the store refuses, and that the database is away.

use tonic::{Code, Status};
use tracing::warn;

use super::internal;
use super::refusal::{Refusal, shown};
use crate::store::{self, Class};

#[expect(clippy::too_many_lines, reason = "one arm for each error")]
pub(super) fn status(error: &store::Error) -> Status {
    match error {
        store::Error::Unavailable(_) | store::Error::Timeout(_) => unavailable(error),
        store::Error::Database(_) => match error.class() {
            Class::Lost | Class::Again | Class::Refusing => unavailable(error),
            Class::BadRow | Class::Other => internal(error),
        },
        store::Error::Setup(_) | store::Error::Corrupt(_) => internal(error),
        store::Error::FlowExists(id) => {
            let id = shown(id.as_str());
            Refusal::new(
                Code::AlreadyExists,
                "FLOW_ALREADY_EXISTS",
                format!("flow {id} already exists; UpdateFlow changes it"),
            )
            .with("flowId", &id)
            .about("synapps.v1.Flow", id)
            .status()
        }
        store::Error::FlowNotFound(id) => {
            let id = shown(id.as_str());
            Refusal::new(
                Code::NotFound,
                "FLOW_NOT_FOUND",
                format!("flow {id} does not exist; ListFlows lists those that do"),
            )
            .with("flowId", &id)
            .about("synapps.v1.Flow", id)
            .status()
        }
        store::Error::RevisionNotFound {
            flow_id,
            revision,
            latest,
        } => {
            let id = shown(flow_id.as_str());
            Refusal::new(
                Code::NotFound,
                "REVISION_NOT_FOUND",
                format!("flow {id} has no revision {revision}: its latest is {latest}"),
            )
            .with("flowId", &id)
            .with("revision", revision)
            .with("latestRevision", latest)
            .about("synapps.v1.FlowRevision", format!("{id}/{revision}"))
            .status()
        }
        store::Error::SecretExists(name) => {
            let name = shown(name);
            Refusal::new(
                Code::AlreadyExists,
                "SECRET_ALREADY_EXISTS",
                format!("secret {name} already exists; AddSecretVersion gives it another value"),
            )
            .with("name", &name)
            .about("synapps.v1.Secret", name)
            .status()
        }
        store::Error::SecretNotFound(name) => {
            let name = shown(name);
            Refusal::new(
                Code::NotFound,
                "SECRET_NOT_FOUND",
                format!("secret {name} does not exist; ListSecrets lists those that do"),
            )
            .with("name", &name)
            .about("synapps.v1.Secret", name)
            .status()
        }
        store::Error::SecretVersionNotFound {
            name,
            version,
            latest,
        } => {
            let name = shown(name);
            Refusal::new(
                Code::NotFound,
                "SECRET_VERSION_NOT_FOUND",
                format!("secret {name} has no version {version}: its latest is {latest}"),
            )
            .with("name", &name)
            .with("version", version)
            .with("latestVersion", latest)
            .about("synapps.v1.SecretVersion", format!("{name}/{version}"))
            .status()
        }
        store::Error::EtagMismatch {
            flow_id,
            given,
            current,
        } => {
            let (id, given) = (shown(flow_id.as_str()), shown(given));
            Refusal::new(
                Code::Aborted,
                "ETAG_MISMATCH",
                format!(
                    "flow {id} was changed meanwhile: its etag is {current}, not {given}; read it again with GetFlow"
                ),
            )
            .with("flowId", id)
            .with("etag", current)
            .with("givenEtag", given)
            .status()
        }
    }
}

/// The database cannot be used now: the cause is logged, for it is nothing that a caller could change.
fn unavailable(error: &store::Error) -> Status {
    log_outage(error);
    Refusal::new(
        Code::Unavailable,
        "DATABASE_UNAVAILABLE",
        "the database cannot be reached or takes nothing now; try again",
    )
    .retry_soon()
    .status()
}

pub(super) fn log_outage(error: &(dyn std::error::Error + 'static)) {
    warn!(error, "a request has failed for want of the database");
}
