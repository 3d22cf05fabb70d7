//! Deleting a run, with all that belongs to it in the other tables.

use diesel::prelude::*;
use diesel::sql_types::{Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::runs::parse_state;
use super::schema::{payload_chunks, run_events, run_inbox, start_requests, workflow_runs};
use super::{Error, Result, approvals, signals};
use crate::ids::{RunId, RunKey};
use crate::run::state::RunState;

/// What deleting a run met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone, with its events and payloads.
    Yes,
    /// It has not ended.
    Open(RunState),
    /// Another run that has not ended may still need it.
    InUse(Relation, RunId),
    /// There is no such run.
    Absent,
}

/// What a run is to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// A step of it waits for the run.
    Parent,
    /// A step of the run had started it.
    Child,
    /// It may use the run's outputs.
    Fork,
}

impl Relation {
    /// All of them.
    const ALL: [Self; 3] = [Self::Parent, Self::Child, Self::Fork];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Parent => "PARENT",
            Self::Child => "CHILD",
            Self::Fork => "FORK",
        }
    }
}

#[derive(QueryableByName)]
struct User {
    #[diesel(sql_type = Text)]
    relation: String,
    #[diesel(sql_type = SqlUuid)]
    run_id: Uuid,
}

/// An open run that may still need this one.
async fn find_user(
    conn: &mut AsyncPgConnection,
    key: &RunKey,
) -> Result<Option<(Relation, RunId)>> {
    let user: Option<User> = diesel::sql_query(
        "(SELECT 'PARENT' AS relation, p.run_id FROM workflow_runs c JOIN workflow_runs p \
         ON p.namespace = c.namespace AND p.run_id = c.parent_run_id \
         WHERE c.namespace = $1 AND c.run_id = $2 AND p.ended_at IS NULL) \
         UNION ALL (SELECT 'CHILD', run_id FROM workflow_runs \
         WHERE namespace = $1 AND parent_run_id = $2 AND ended_at IS NULL LIMIT 1) \
         UNION ALL (SELECT 'FORK', run_id FROM workflow_runs \
         WHERE namespace = $1 AND forked_from = $2 AND ended_at IS NULL LIMIT 1) LIMIT 1",
    )
    .bind::<Text, _>(key.namespace.as_str())
    .bind::<SqlUuid, _>(key.run_id.uuid())
    .get_result(conn)
    .await
    .optional()?;
    user.map(|user| {
        let relation = Relation::ALL
            .into_iter()
            .find(|relation| relation.as_str() == user.relation)
            .ok_or_else(|| Error::Corrupt(format!("unknown relation {:?}", user.relation)))?;
        Ok((relation, RunId::new(user.run_id)))
    })
    .transpose()
}

/// Deletes a run that has ended, with all that belongs to it; its request id is free again.
///
/// A fork that is started at the same moment may be missed, and finds the run gone.
///
/// # Errors
///
/// As every query; nothing is deleted then.
pub async fn delete(conn: &mut AsyncPgConnection, key: &RunKey) -> Result<Deleted> {
    conn.transaction(async |conn| {
        let namespace = key.namespace.as_str();
        let id = key.run_id.uuid();
        let found: Option<(String, Option<String>)> = workflow_runs::table
            .filter(
                workflow_runs::namespace
                    .eq(namespace)
                    .and(workflow_runs::run_id.eq(id)),
            )
            .select((workflow_runs::state, workflow_runs::request_id))
            .for_update()
            .first(conn)
            .await
            .optional()?;
        let Some((state, request_id)) = found else {
            return Ok(Deleted::Absent);
        };
        let state = parse_state(&state)?;
        if !state.is_final() {
            return Ok(Deleted::Open(state));
        }
        if let Some((relation, user)) = find_user(conn, key).await? {
            return Ok(Deleted::InUse(relation, user));
        }
        approvals::forget(conn, key).await?;
        signals::forget(conn, key).await?;
        diesel::delete(
            workflow_runs::table.filter(
                workflow_runs::namespace
                    .eq(namespace)
                    .and(workflow_runs::run_id.eq(id)),
            ),
        )
        .execute(conn)
        .await?;
        diesel::delete(
            run_events::table.filter(
                run_events::namespace
                    .eq(namespace)
                    .and(run_events::run_id.eq(id)),
            ),
        )
        .execute(conn)
        .await?;
        diesel::delete(
            payload_chunks::table.filter(
                payload_chunks::namespace
                    .eq(namespace)
                    .and(payload_chunks::run_id.eq(id)),
            ),
        )
        .execute(conn)
        .await?;
        diesel::delete(
            run_inbox::table
                .filter(run_inbox::namespace.eq(namespace))
                .filter(run_inbox::run_id.eq(id)),
        )
        .execute(conn)
        .await?;
        if let Some(request_id) = request_id {
            diesel::delete(
                start_requests::table
                    .filter(start_requests::namespace.eq(namespace))
                    .filter(
                        start_requests::request_id
                            .eq(request_id)
                            .and(start_requests::run_id.eq(id)),
                    ),
            )
            .execute(conn)
            .await?;
        }
        Ok(Deleted::Yes)
    })
    .await
}
