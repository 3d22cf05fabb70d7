//! Child runs: which parents have yet to be told of an end, and which children nobody waits for any more.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::Result;
use super::inbox::{self, Letter, Request};
use super::runs::parse_state;
use super::schema::workflow_runs;
use crate::ids::{RunId, RunKey};

/// Tells the parent of a child that has ended; gives the letter if this call has posted it.
///
/// Any process may do so at any time: the child's row says whether it was done, in the letter's own transaction.
///
/// # Errors
///
/// As every query; nothing was posted.
pub async fn tell(conn: &mut AsyncPgConnection, child: &RunKey) -> Result<Option<Letter>> {
    let (namespace, id) = (child.namespace.as_str(), child.run_id.uuid());
    conn.transaction(async |conn| {
        let told = diesel::update(
            workflow_runs::table
                .filter(workflow_runs::namespace.eq(namespace))
                .filter(workflow_runs::run_id.eq(id))
                .filter(workflow_runs::ended_at.is_not_null())
                .filter(diesel::dsl::not(workflow_runs::told)),
        )
        .set(workflow_runs::told.eq(true));
        // A run that has ended is locked by nobody else, so that this order of locks harms none.
        let found: Option<(Option<Uuid>, String)> = told
            .returning((workflow_runs::parent_run_id, workflow_runs::state))
            .get_result(conn)
            .await
            .optional()?;
        let Some((Some(parent), state)) = found else {
            return Ok(None);
        };
        let parent = RunKey {
            namespace: child.namespace.clone(),
            run_id: RunId::new(parent),
        };
        let request = Request::ChildEnded {
            run_id: child.run_id,
            state: parse_state(&state)?,
            error: None,
        };
        let posted = inbox::post(conn, &parent, &request).await?;
        let id = posted.and_then(|posted| posted.letter);
        Ok(id.map(|id| Letter {
            key: parent,
            id,
            request,
        }))
    })
    .await
}

#[derive(QueryableByName)]
struct Key {
    #[diesel(sql_type = Text)]
    namespace: String,
    #[diesel(sql_type = SqlUuid)]
    run_id: Uuid,
}

/// Children that have ended and whose parents do not know, and those that are open although their parents have ended;
/// at most so many of each.
///
/// # Errors
///
/// As every query.
pub async fn left_over(
    conn: &mut AsyncPgConnection,
    limit: i64,
) -> Result<(Vec<RunKey>, Vec<RunKey>)> {
    let untold: Vec<Key> = diesel::sql_query(
        "SELECT namespace, run_id FROM workflow_runs \
         WHERE NOT told AND ended_at IS NOT NULL AND ended_at < now() - interval '1 second' ORDER BY ended_at LIMIT $1",
    )
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    let orphaned: Vec<Key> = diesel::sql_query(
        "SELECT c.namespace, c.run_id FROM workflow_runs c JOIN workflow_runs p \
         ON p.namespace = c.namespace AND p.run_id = c.parent_run_id \
         WHERE c.parent_run_id IS NOT NULL AND c.ended_at IS NULL AND c.state <> 'CANCELLING' \
         AND p.ended_at IS NOT NULL LIMIT $1",
    )
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    let key = |key: Key| RunKey {
        namespace: key.namespace.into(),
        run_id: RunId::new(key.run_id),
    };
    Ok((
        untold.into_iter().map(key).collect(),
        orphaned.into_iter().map(key).collect(),
    ))
}
