//! Deleting a run, with all that belongs to it in the other tables.

use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use super::Result;
use super::runs::parse_state;
use super::schema::{payload_chunks, run_events, run_inbox, start_requests, workflow_runs};
use crate::ids::RunKey;
use crate::run::state::RunState;

/// What deleting a run met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone, with its events and payloads.
    Yes,
    /// It has not ended.
    Open(RunState),
    /// There is no such run.
    Absent,
}

/// Deletes a run that has ended, with all that belongs to it; its request id is free again.
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
