//! The run that a fork was forked from, read from its journal.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::recipes::recipes;
use crate::engine::Parts;
use crate::engine::plan::Plan;
use crate::ids::RunKey;
use crate::run::Run;
use crate::run::reuse::Past;
use crate::store::{self, Class, events, runs};

/// What a fork with this plan may take from a run as it stood at its event `sequence`. `None` if the run is gone, or
/// can no longer be read: then the fork's steps run.
///
/// Asks until the database answers.
pub(in crate::engine) async fn read_past(
    parts: &Parts,
    original: &RunKey,
    sequence: i64,
    plan: &Plan,
) -> Option<Arc<Past>> {
    let mut pause = Duration::from_millis(50);
    loop {
        let error = match get_past(parts, original, sequence, plan).await {
            Ok(Some(past)) => return Some(Arc::new(past)),
            Ok(None) => {
                warn!(run.id = %original, "the original of a fork is gone: all steps of the fork run");
                return None;
            }
            Err(error) => error,
        };
        if matches!(error.class(), Class::BadRow | Class::Other) {
            warn!(
                error = &error as &dyn std::error::Error,
                run.id = %original,
                "the original of a fork cannot be read: all steps of the fork run"
            );
            return None;
        }
        warn!(
            error = &error as &dyn std::error::Error,
            run.id = %original,
            "the original of a fork cannot be read yet"
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// The same, once.
///
/// # Errors
///
/// As every query; [`store::Error::Corrupt`] for a journal that cannot be followed.
pub(super) async fn get_past(
    parts: &Parts,
    original: &RunKey,
    sequence: i64,
    plan: &Plan,
) -> store::Result<Option<Past>> {
    let mut conn = parts.store.conn().await?;
    let Some(row) = runs::find(&mut conn, original).await? else {
        return Ok(None);
    };
    let history = events::history(&mut conn, original, sequence).await?;
    drop(conn);
    let theirs = parts
        .plans
        .get(&original.namespace, row.flow_key, row.revision)
        .await?;
    let run = Run::fold(Arc::clone(&theirs.graph), &history).map_err(|mismatch| {
        store::Error::Corrupt(format!("journal of run {original}: {mismatch}"))
    })?;
    let own = recipes(plan);
    let is_same = theirs.revision.number == plan.revision.number
        && theirs.revision.flow_key == plan.revision.flow_key;
    let of_theirs = if is_same {
        own.clone()
    } else {
        recipes(&theirs)
    };
    Ok(Some(Past::new(original.run_id, run, of_theirs, own)))
}
