//! Where runs stand, asked by the journal after a flush of which it is not known what it did.

use std::collections::HashMap;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Text, Uuid as SqlUuid};
use uuid::Uuid;

use super::lane::Lane;
use super::{Error, Result};
use crate::ids::{ExecutorId, RunId, RunKey};

/// Where one run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Who owns it, if anybody does.
    pub owner: Option<ExecutorId>,
    /// In which epoch.
    pub epoch: i64,
    /// Sequence of its last event.
    pub last_sequence: i64,
    /// How many letters were ever posted to it.
    pub inbox_count: i64,
    /// The epoch that wrote the event that was asked about, if there is that event.
    pub written_in: Option<i64>,
}

/// Where these runs stand, and who wrote the event of the sequence given with each. Runs that are gone are left out.
///
/// # Errors
///
/// As every statement of a lane.
pub async fn read(lane: &mut Lane, runs: &[(&RunKey, i64)]) -> Result<HashMap<RunId, Standing>> {
    let question = Question {
        namespace: runs.iter().map(|(key, _)| key.namespace.as_str()).collect(),
        run_id: runs.iter().map(|(key, _)| key.run_id.uuid()).collect(),
        sequence: runs.iter().map(|(_, sequence)| *sequence).collect(),
    };
    let rows = lane.load(&question).await?;
    let standing = |row: &tokio_postgres::Row| -> Result<(RunId, Standing), tokio_postgres::Error> {
        Ok((
            RunId::new(row.try_get(0)?),
            Standing {
                owner: row.try_get::<_, Option<Uuid>>(1)?.map(ExecutorId::new),
                epoch: row.try_get(2)?,
                last_sequence: row.try_get(3)?,
                inbox_count: row.try_get(4)?,
                written_in: row.try_get(5)?,
            },
        ))
    };
    rows.iter()
        .map(|row| standing(row).map_err(Error::from))
        .collect()
}

struct Question<'a> {
    namespace: Vec<&'a str>,
    run_id: Vec<Uuid>,
    sequence: Vec<i64>,
}

impl QueryId for Question<'_> {
    type QueryId = Question<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for Question<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT r.run_id, r.executor_id, r.epoch, r.last_sequence, r.inbox_count, e.epoch FROM unnest(",
        );
        out.push_bind_param::<Array<Text>, _>(&self.namespace)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.run_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.sequence)?;
        out.push_sql(
            ") AS q(namespace, run_id, sequence) \
             JOIN workflow_runs r ON r.namespace = q.namespace AND r.run_id = q.run_id \
             LEFT JOIN run_events e ON e.namespace = q.namespace AND e.run_id = q.run_id AND e.sequence = q.sequence",
        );
        Ok(())
    }
}
